//! futuswarm-agent.
