//! What people see instead of an app, in plain HTML without quotation marks: each page is one word of Apache's configuration.

use serde::Serialize;

use crate::check::authority;
use crate::login::Login;

/// Who is signed in, as Apache fills it in; encoded, so that no name is HTML.
const WHO: &str = "%{escape:%{REMOTE_USER}}";

/// Fields of the template.
#[derive(Serialize)]
pub(crate) struct Pages {
    page_denied: String,
    page_no_app: String,
    page_foreign: String,
    page_unreachable: String,
    page_failed: String,
    page_signed_out: String,
}

impl Pages {
    pub(crate) fn of(login: &Login) -> Self {
        let contact = html(&login.contact);
        let provider = html(authority(&login.provider.authorization));
        Self {
            page_denied: page(
                "No access",
                &format!(
                    "<p>You are signed in as <b>{WHO}</b>, and this app does not admit you.\
                     <p>Ask the owner of the app to add you, or {contact}.\
                     <p><a href=/.sso/logout>Sign out</a> to come back as somebody else."
                ),
            ),
            page_no_app: page(
                "No such app",
                &format!(
                    "<p>There is no app with this name here, or nothing at this address. \
                     Look at the spelling, or ask {contact}."
                ),
            ),
            page_foreign: page(
                "Refused",
                "<p>A page of another app or site has asked for this, and it may not. \
                 If you have followed a link, <a href=/>begin at the first page</a> of this app.",
            ),
            page_unreachable: page(
                "Not reachable",
                &format!(
                    "<p>The apps cannot be reached at the moment. Try again in a minute; if that does not help, ask {contact}."
                ),
            ),
            page_failed: page(
                "Sign-in not completed",
                &format!(
                    "<p>The sign-in was broken off or took longer than five minutes, or {provider} does not answer. \
                     <p><a href=/>Try again</a>. Whoever is signed in already is not affected. \
                     If it does not get better, ask {contact}."
                ),
            ),
            page_signed_out: page(
                "Signed out",
                "<p>You are signed out of the app that you have come from. Each app has a session of its own: those of \
                 others end by themselves.<p>To sign in again, open the app.",
            ),
        }
    }
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=en><meta name=viewport content=width=device-width><title>{title}</title>\
         <body style=font-family:sans-serif><h1>{title}</h1>{body}</html>"
    )
}

/// Text for a page: what is special to HTML or to Apache, or beyond ASCII, by its number.
fn html(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || " .,:;@/#()_+-".contains(c);
    text.chars().map(|c| if plain(c) { c.to_string() } else { format!("&#{};", u32::from(c)) }).collect()
}
