// A certified OpenID provider with two users, in memory, for the rehearsal of the login: node provider.mjs SETTINGS.json
//
// The settings have the client's secret and the key, so that neither is an argument:
//   issuer                          https://NAME
//   certificate, key                PEM
//   address, port                   where the machines find it
//   browsers                        a unix socket that serves the same, for browsers outside of the network namespace
//   control                         a unix socket for faults
//   client                          {"id", "secret", "redirect", "afterLogout"}
//
// POST /faults on the control socket replaces all faults and answers what counts from then on:
//   {"away": true}                  hangs up on everybody
//   {"slowMilliseconds": 20000}     answers that much later
//   {"skewSeconds": 660}            its clock is ahead (or behind, below zero)
//   {"groups": 200}                 everybody is in so many more groups, named as Entra ID names them
// POST /rotate forgets its keys and makes others. GET /asked answers how often each path was asked, and begins again.

import { createHash, generateKeyPairSync, randomUUID } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import Provider from 'oidc-provider';

const settings = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const { issuer, client } = settings;
const users = { ada: ['staff', 'editors'], bob: ['staff'] };
const harmless = { away: false, slowMilliseconds: 0, skewSeconds: 0, groups: 0 };
let faults = { ...harmless };
let asked = {};

// What the library takes for the time, in tokens as well as in its store.
const now = Date.now.bind(Date);
Date.now = () => now() + faults.skewSeconds * 1000;

function entraGroups(count) {
  const digest = (index) => createHash('sha256').update(`group ${index}`).digest('hex');
  return Array.from({ length: count }, (_, index) => digest(index).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, '$1-$2-$3-$4-$5'));
}

function claims(id) {
  return { sub: id, email: `${id}@example.com`, email_verified: true, groups: [...users[id], ...entraGroups(faults.groups)] };
}

function page(title, body) {
  return `<!doctype html><html lang=en><title>${title}</title><h1>${title}</h1>${body}`;
}

function plain(text) {
  return text.replace(/[<>&"']/g, ' ');
}

// A new one has other keys. Who is signed in stays so: the library's store in memory is one for all of them.
function make() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const made = new Provider(issuer, {
    clients: [{
      client_id: client.id,
      client_secret: client.secret,
      redirect_uris: [client.redirect],
      post_logout_redirect_uris: [client.afterLogout],
      grant_types: ['authorization_code'],
    }],
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' }] },
    findAccount: (_, id) => users[id] && { accountId: id, claims: () => claims(id) },
    claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
    // Also in the ID token, and not at the userinfo endpoint alone.
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    cookies: { keys: ['rehearsal'] },
    ttl: { AccessToken: 3600, AuthorizationCode: 60, Grant: 86_400, IdToken: 3600, Interaction: 600, Session: 86_400 },
    features: {
      devInteractions: { enabled: false },
      rpInitiatedLogout: {
        logoutSource: (ctx, form) => {
          ctx.body = page('Sign out?', `${form}<button id=leave form=op.logoutForm name=logout value=yes>Sign out</button>`);
        },
        postLogoutSuccessSource: (ctx) => { ctx.body = page('Signed out at the provider', ''); },
      },
    },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    // Nobody is asked for consent.
    loadExistingGrant: async ({ oidc }) => {
      const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
      grant.addOIDCScope('openid email groups');
      await grant.save();
      return grant;
    },
    renderError: (ctx, out) => { ctx.body = page('The provider refuses', `<p>${plain(`${out.error}: ${out.error_description ?? ''}`)}`); },
  });
  for (const event of ['server_error', 'authorization.error', 'grant.error', 'end_session.error']) {
    made.on(event, (_, error) => console.error(event, error.message, error.error_description ?? ''));
  }
  return { provider: made, callback: made.callback() };
}

let current = make();

async function form(request) {
  let body = '';
  for await (const chunk of request) body += chunk;
  return new URLSearchParams(body);
}

async function interaction(request, response) {
  const { provider } = current;
  if (request.method === 'GET') {
    await provider.interactionDetails(request, response);
    response.setHeader('content-type', 'text/html; charset=utf-8');
    response.end(page('Sign in', '<form method=post><input id=login name=login autofocus><button id=go>Sign in</button></form>'));
    return;
  }
  const accountId = (await form(request)).get('login');
  const login = users[accountId] ? { login: { accountId } } : { error: 'access_denied', error_description: 'nobody has this name' };
  await provider.interactionFinished(request, response, login);
}

async function answer(request, response) {
  const path = new URL(request.url, issuer).pathname;
  const what = path.startsWith('/interaction/') ? '/interaction' : path;
  asked[what] = (asked[what] ?? 0) + 1;
  if (faults.away) return request.socket.destroy();
  if (faults.slowMilliseconds > 0) await sleep(faults.slowMilliseconds);
  if (!path.startsWith('/interaction/')) return current.callback(request, response);
  try {
    await interaction(request, response);
  } catch (error) {
    // The cookie of a sign-in that was begun elsewhere, or long ago.
    if (!response.headersSent) response.writeHead(400, { 'content-type': 'text/plain; charset=utf-8' });
    response.end(String(error));
  }
}

async function control(request, response) {
  const call = `${request.method} ${request.url}`;
  let body = '';
  for await (const chunk of request) body += chunk;
  const reply = (status, value) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(value));
  };
  if (call === 'POST /faults') {
    const wanted = JSON.parse(body || '{}');
    const unknown = Object.keys(wanted).filter((key) => !(key in harmless));
    if (unknown.length > 0) return reply(400, `no such fault: ${unknown.join(', ')}`);
    faults = { ...harmless, ...wanted };
    // Connections that are kept would still be answered.
    if (faults.away) for (const server of servers) server.closeAllConnections();
    return reply(200, faults);
  }
  if (call === 'POST /rotate') {
    current = make();
    return reply(200, null);
  }
  if (call === 'GET /asked') {
    const answered = asked;
    asked = {};
    return reply(200, answered);
  }
  return reply(400, `the provider knows no ${call}`);
}

const tls = { cert: settings.certificate, key: settings.key };
const servers = [https.createServer(tls, answer), https.createServer(tls, answer)];
const controlled = http.createServer((request, response) => {
  control(request, response).catch((error) => response.writeHead(400).end(JSON.stringify(String(error))));
});

function listen(server, where) {
  if (where.path) rmSync(where.path, { force: true });
  return new Promise((done, failed) => server.once('error', failed).listen(where, done));
}

await listen(servers[0], { host: settings.address, port: settings.port });
await listen(servers[1], { path: settings.browsers });
await listen(controlled, { path: settings.control });
console.log('ready');
// Whoever has started it holds its standard input, so that it does not outlive them.
process.stdin.resume().on('end', () => process.exit(0));
