//! `checkHealthService`: what an operator's self check asks (contract 01 §7.5).

use fate_edge::health_check::{Record, Report, Status, connect, memory};

use fate_registry::Registry;

use crate::config::Config;

/// Checks memory, FATE-Flow and models.
pub(crate) async fn check(
    config: &Config,
    registry: Option<&Registry>,
    has_models: bool,
) -> Report {
    let mut records: Vec<Record> = memory().into_iter().collect();
    if let Some(url) = &config.transfer_url {
        records.push(fate_flow_record(url).await);
    }
    records.extend(registry.map(registered_fate_flow));
    records.push(model_record(has_models));
    Report { records }
}

async fn fate_flow_record(url: &str) -> Record {
    let (msg, status) = match connect(url).await {
        Ok(()) => ("default fateflow url is ok".to_owned(), Status::Ok),
        Err(cause) => (
            format!("default fateflow url can not be connected: {cause}"),
            Status::Warn,
        ),
    };
    Record {
        check_item_name: "check default fateflow config",
        msg,
        health_check_status: status,
    }
}

/// Java finds the leaf of FATE-Flow 1.4 only; here the addresses of single models, which later ones write, count as well.
fn registered_fate_flow(registry: &Registry) -> Record {
    let snapshot = registry.snapshot();
    let known = snapshot.service("flow", "online", "transfer");
    let (msg, status) = if known.is_some_and(|known| !known.texts.is_empty()) {
        ("fateflow is found in zookeeper", Status::Ok)
    } else {
        ("fateflow is not found in zookeeper ", Status::Warn)
    };
    Record {
        check_item_name: "check fateflow in zookeeper",
        msg: msg.to_owned(),
        health_check_status: status,
    }
}

fn model_record(has_models: bool) -> Record {
    let (msg, status) = if has_models {
        ("model is loaded", Status::Ok)
    } else {
        ("model is not loaded", Status::Warn)
    };
    Record {
        check_item_name: "check model loaded",
        msg: msg.to_owned(),
        health_check_status: status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unreachable_fate_flow_is_a_warning_not_a_failure() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "http://{}/v1/model/transfer",
            listener.local_addr().unwrap()
        );
        assert_eq!(fate_flow_record(&url).await.health_check_status, Status::Ok);
        drop(listener);
        assert_eq!(
            fate_flow_record(&url).await.health_check_status,
            Status::Warn
        );
    }
}
