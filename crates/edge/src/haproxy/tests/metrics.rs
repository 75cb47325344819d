//! What Prometheus is told, and by what way only.

use super::bench::Edge;
use super::*;

/// A number of the exporter, by its name with labels.
fn metric(edge: &Edge, name: &str) -> Option<u64> {
    let answer = edge.metrics("/metrics");
    answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

fn answers(edge: &Edge, proxy: &str, code: &str) -> Option<u64> {
    metric(edge, &format!("haproxy_backend_http_responses_total{{proxy=\"{proxy}\",code=\"{code}\"}}"))
}

#[test]
fn requests_are_counted_by_service_and_told_to_nobody_on_a_network() {
    let all = decided(&[("app", &[]), ("other", &[])]);
    let edge = Edge::start(&all, true, &[("app", 2), ("other", 1)]);
    for _ in 0..5 {
        assert_eq!(edge.get("app.com", "/"), "app");
    }
    assert_eq!(edge.get("localhost", "/metrics"), "404");
    edge.wait("five requests", || answers(&edge, "service-app", "2xx") == Some(5));
    edge.wait("one that nobody serves", || answers(&edge, "nobody", "4xx") == Some(1));
    assert_eq!(answers(&edge, "service-other", "2xx"), Some(0));
    assert_eq!(metric(&edge, "haproxy_backend_active_servers{proxy=\"service-app\"}"), Some(2));
    assert_eq!(metric(&edge, "haproxy_process_dropped_logs_total"), Some(0));
    assert!(!edge.metrics("/metrics").contains("haproxy_server_"), "tasks have to be asked for");
    assert!(
        edge.metrics("/metrics?scope=server").contains("haproxy_server_status{proxy=\"service-app\",server=\"task1\"")
    );
    assert!(edge.metrics("/").contains(" 404 "));
    edge.wait("the log of six requests", || edge.log().len() >= 6);
    let log = edge.log();
    assert_eq!(log.len(), 6, "who asks for metrics is not in the log: {log:?}");
    edge.reload(&all, true);
    edge.wait("the metrics of another process", || answers(&edge, "service-app", "2xx") == Some(0));
}
