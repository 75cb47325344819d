//! HAProxy's configuration from routes.

use serde::Serialize;

use crate::labels::Routes;

const TEMPLATE: &str = include_str!("templates/haproxy.cfg.hbs");
/// Where HAProxy listens inside the edge container; published on the node's port 80.
pub const LISTEN_PORT: u16 = 8080;

/// The template and its data do not fit; a defect of this crate.
#[derive(Debug, thiserror::Error)]
#[error("the edge's HAProxy configuration cannot be rendered: {0}")]
pub struct RenderError(#[from] Box<handlebars::RenderError>);

#[derive(Serialize)]
struct Model<'a> {
    listen_port: u16,
    /// The longest paths first, because the first rule that matches wins.
    rules: Vec<Rule<'a>>,
    backends: Vec<Backend<'a>>,
}

#[derive(Serialize)]
struct Rule<'a> {
    service: &'a str,
    domains: String,
    /// Absent for `/`.
    path: Option<&'a str>,
}

#[derive(Serialize)]
struct Backend<'a> {
    service: &'a str,
    port: u16,
}

/// Renders HAProxy's configuration for these routes.
///
/// # Errors
/// When the template does not fit its data.
pub fn render(routes: &Routes) -> Result<String, RenderError> {
    let mut sorted: Vec<_> = routes.routes.iter().collect();
    sorted.sort_by(|a, b| b.path.len().cmp(&a.path.len()).then_with(|| a.service.cmp(&b.service)));
    let rules = sorted
        .iter()
        .map(|route| Rule {
            service: &route.service,
            domains: route.domains.join(" "),
            path: Some(route.path.as_str()).filter(|path| *path != "/"),
        })
        .collect();
    let backends = routes.routes.iter().map(|route| Backend { service: &route.service, port: route.port }).collect();
    let mut engine = handlebars::Handlebars::new();
    engine.set_strict_mode(true);
    engine.register_escape_fn(handlebars::no_escape);
    let model = Model { listen_port: LISTEN_PORT, rules, backends };
    engine.render_template(TEMPLATE, &model).map_err(|error| RenderError(Box::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::Route;

    pub(crate) fn routes() -> Routes {
        let route = |service: &str, domains: &[&str], path: &str, port| Route {
            service: service.to_owned(),
            domains: domains.iter().map(|name| (*name).to_owned()).collect(),
            path: path.to_owned(),
            port,
            network: "futuswarm-core".to_owned(),
        };
        Routes {
            routes: vec![
                route("blog", &["blog.apps.example.com", "www.example.com"], "/", 8000),
                route("blog-api", &["blog.apps.example.com"], "/api", 9000),
                route("mainpage", &["apps.example.com"], "/", 8080),
            ],
        }
    }

    #[test]
    fn a_cluster_with_three_services() {
        insta::assert_snapshot!(render(&routes()).unwrap());
    }

    #[test]
    fn a_cluster_without_services() {
        insta::assert_snapshot!(render(&Routes::default()).unwrap());
    }

    #[test]
    fn haproxy_accepts_both() {
        let tools = futuswarm_tools::ToolsTree::locate().expect("`cargo xtask test` makes the tools tree");
        let dir = tempfile::tempdir().unwrap();
        for routes in [routes(), Routes::default()] {
            let path = dir.path().join("haproxy.cfg");
            std::fs::write(&path, render(&routes).unwrap()).unwrap();
            let output = tools.command("haproxy").unwrap().args(["-c", "-f"]).arg(&path).output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success() && !text.contains("[WARNING]"), "{text}");
        }
    }
}
