// Chromium, without a screen, on the ways of people through the login: node browser.mjs SETTINGS.json
//
//   chromium      `chromium.sh` beside this
//   profile       a folder below /tmp that is its home
//   authority     PEM: whom it trusts beside the authorities of the web
//   ports         {"PATTERN": PORT}: hosts that are at a port of 127.0.0.1
//   sockets       {"NAME": PATH}: hosts that are at a unix socket, since they are in another network namespace
//   screenshots   a folder
//
// Reads a journey per line, `{"journey": NAME, "person": NAME, …}`, and prints what came of it per line, `{"result": …}` or
// `{"error": TEXT}`. Every person has a browser of their own, with its own cookies, and signs in with their name.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import readline from 'node:readline';
import { chromium } from 'playwright-core';

const settings = JSON.parse(readFileSync(process.argv[2], 'utf8'));
// An emulated machine needs seconds for a page.
const PATIENCE = 60_000;
const SESSION = /^__(Host|Secure)-sso/;

// A port of this machine that leads to a unix socket.
function forward(path) {
  const server = net.createServer((browser) => {
    const provider = net.connect(path);
    for (const [one, other] of [[browser, provider], [provider, browser]]) one.on('error', () => other.destroy()).pipe(other);
  });
  return new Promise((done) => server.listen(0, '127.0.0.1', () => done(server.address().port)));
}

// Where Chromium looks for the authorities that somebody has added.
function trust(authority) {
  const [folder, file] = [join(settings.profile, '.pki/nssdb'), join(settings.profile, 'authority.pem')];
  mkdirSync(folder, { recursive: true });
  writeFileSync(file, authority);
  const env = { ...process.env, BROWSER_PROGRAM: '/usr/bin/certutil' };
  for (const words of [['-N', '--empty-password'], ['-A', '-n', 'local', '-t', 'C,,', '-i', file]]) {
    execFileSync(settings.chromium, ['-d', `sql:${folder}`, ...words], { env });
  }
}

trust(settings.authority);
const ports = { ...settings.ports };
for (const [name, path] of Object.entries(settings.sockets)) ports[name] = await forward(path);
const rules = Object.entries(ports).map(([pattern, port]) => `MAP ${pattern} 127.0.0.1:${port}`);
mkdirSync(settings.screenshots, { recursive: true });
const browser = await chromium.launch({
  executablePath: settings.chromium,
  args: [`--host-resolver-rules=${rules.join(',')},MAP * ~NOTFOUND`, '--disable-dev-shm-usage', '--disable-gpu', '--no-proxy-server'],
  env: { ...process.env, HOME: settings.profile, TMPDIR: '/tmp' },
});

const people = new Map();

async function pageOf(person) {
  if (!people.has(person)) {
    const context = await browser.newContext();
    context.setDefaultTimeout(PATIENCE);
    people.set(person, { context, page: await context.newPage() });
  }
  return people.get(person);
}

// What is on the page, and for an app's page of JSON what it says.
async function seen(page, response) {
  const text = await page.innerText('body');
  let says = null;
  try {
    says = JSON.parse(text);
  } catch {
    // A page for people.
  }
  return { url: page.url(), status: response?.status() ?? null, title: await page.title(), text, says };
}

function isForm(page) {
  return page.locator('#login').count().then((count) => count > 0);
}

// Presses a button, and waits for the page where it ends: an answer that leads nowhere else.
async function press(page, button) {
  const ends = page.waitForResponse((one) => one.request().isNavigationRequest() && (one.status() < 300 || one.status() >= 400));
  await page.click(button);
  const response = await ends;
  await page.waitForLoadState('load');
  return response;
}

const journeys = {
  // Where a URL leads, with whatever session there is.
  async open({ context, page }, { url }) {
    const response = await page.goto(url);
    return { ...(await seen(page, response)), asked: await isForm(page) };
  },

  // The same, and the name is typed where the provider asks for it. `asked` says whether it did.
  async signIn({ page }, { url, person }) {
    let response = await page.goto(url);
    const asked = await isForm(page);
    if (asked) {
      await page.fill('#login', person);
      response = await press(page, '#go');
    }
    return { ...(await seen(page, response)), asked };
  },

  // Stops before the name is sent, so that something may happen meanwhile.
  async beginSignIn({ page }, { url, person }) {
    await page.goto(url);
    await page.fill('#login', person);
    return { url: page.url() };
  },

  async finishSignIn({ page }) {
    return seen(page, await press(page, '#go'));
  },

  // `passed` are the pages on the way, without their queries.
  async signOut({ page }, { url }) {
    const passed = [];
    const note = (frame) => passed.push(frame.url().replace(/\?.*/, ''));
    page.on('framenavigated', note);
    let response = await page.goto(new URL('/.sso/logout', url).href);
    if (await page.locator('#leave').count() > 0) {
      response = await press(page, '#leave');
    }
    page.off('framenavigated', note);
    return { ...(await seen(page, response)), passed };
  },

  // The login's cookies that go with a request to the URL, without what is in them.
  async cookies({ context }, { url }) {
    const cookies = (await context.cookies(url)).filter((cookie) => SESSION.test(cookie.name));
    return cookies.map(({ value, ...about }) => ({ ...about, bytes: value.length }));
  },

  // Somebody without any session shows the cookies of `from` at `to`.
  async replay({ context }, { from, to }) {
    const stolen = (await context.cookies(from)).filter((cookie) => SESSION.test(cookie.name));
    const thief = await browser.newContext();
    thief.setDefaultTimeout(PATIENCE);
    try {
      await thief.addCookies(stolen.map(({ name, value }) => ({ name, value, url: to, secure: true, httpOnly: true, sameSite: 'Lax' })));
      const page = await thief.newPage();
      const response = await page.goto(to);
      return { ...(await seen(page, response)), asked: await isForm(page), cookies: stolen.length };
    } finally {
      await thief.close();
    }
  },

  // What a script of the open page sees and can do: read cookies, plant a session for all apps, and ask its own app and another to change
  // something. What the other one answers no script sees.
  async script({ page }, { other }) {
    return page.evaluate(async (url) => {
      const read = document.cookie;
      document.cookie = `__Host-sso=planted; Domain=${location.hostname.replace(/^[^.]*\./, '')}; Path=/; Secure`;
      const status = async (ask) => ask.then((answer) => answer.status, (error) => String(error));
      return {
        cookies: read,
        own: await status(fetch('/script', { method: 'POST' })),
        other: url && await status(fetch(new URL('/script', url), { method: 'POST', mode: 'no-cors', credentials: 'include' })),
      };
    }, other ?? null);
  },

  // From the open page: what comes back for some words, and who the app said it is that asks.
  async webSocket({ page }, { url, words }) {
    return page.evaluate(([address, said, patience]) => new Promise((done) => {
      const heard = [];
      const socket = new WebSocket(address);
      const end = (how) => {
        socket.close();
        done({ heard, how });
      };
      socket.onopen = () => socket.send(said);
      socket.onmessage = ({ data }) => heard.push(data) && data === said && end('echo');
      socket.onerror = () => end('refused');
      setTimeout(() => end('late'), patience);
    }), [url, words, PATIENCE]);
  },

  async screenshot({ page }, { name }) {
    const path = join(settings.screenshots, `${name}.png`);
    await page.screenshot({ path });
    return path;
  },

  // All cookies of a person, the provider's as well.
  async forget(own, { person }) {
    people.delete(person);
    await own.context.close();
    return null;
  },
};

console.log(JSON.stringify({ result: { version: browser.version() } }));
for await (const line of readline.createInterface({ input: process.stdin })) {
  try {
    const job = JSON.parse(line);
    const journey = journeys[job.journey];
    if (!journey) throw new Error(`there is no journey ${job.journey}`);
    console.log(JSON.stringify({ result: await journey(await pageOf(job.person), job) }));
  } catch (error) {
    // Behind the first line the driver says what it did.
    console.log(JSON.stringify({ error: String(error.message ?? error).split('\n')[0] }));
  }
}
await browser.close();
process.exit(0);
