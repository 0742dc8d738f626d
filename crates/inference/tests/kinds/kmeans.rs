//! K-means: squared distances over all parties (hetero_kmeans_client.py `educl_dist`), worked out by hand.

use fate_proto::buffer::{Centroiddetail, KmeansModelMeta, KmeansModelParam};
use serde_json::{Value, json};

use crate::party::{Component, FATE, JAVA, assert_answer, compile_all, part, refusal, version};

fn clusters(class: &'static str, header: &[&str], centroids: &[&[f64]]) -> Vec<Component> {
    let k = centroids.len() as i64;
    let meta = KmeansModelMeta {
        k,
        tol: 0.001,
        max_iter: 10,
    };
    let param = KmeansModelParam {
        count_of_clusters: k,
        header: header.iter().map(|name| (*name).to_owned()).collect(),
        centroid_detail: centroids
            .iter()
            .map(|centroid| Centroiddetail {
                centroid: centroid.to_vec(),
            })
            .collect(),
        ..Default::default()
    };
    vec![Component::new("hetero_kmeans_0", class, &meta, &param)]
}

fn parties() -> Vec<Vec<Component>> {
    vec![
        clusters(
            "HeteroKmeansGuest",
            &["x0", "x1"],
            &[&[0.0, 0.0], &[3.0, 4.0], &[1.0, 1.0]],
        ),
        clusters("HeteroKmeansHost", &["h0"], &[&[1.0], &[5.0], &[-1.0]]),
        clusters("HeteroKmeansHost", &["h0"], &[&[0.0], &[0.0], &[2.0]]),
        clusters(
            "HeteroKmeansHost",
            &["a", "b"],
            &[&[0.0, 0.0], &[1.0, 1.0], &[0.0, 0.5]],
        ),
    ]
}

fn row(h0: f64) -> Vec<Value> {
    vec![
        json!({"x0": 1, "x1": "2"}),
        json!({"h0": h0}),
        json!({"h0": 1}),
        json!({"a": 1, "b": 0.5}),
    ]
}

/// Guest 1+4, 4+4, 0+1; host h0=2: 1, 9, 9; second 1, 1, 1; third 1.25, 0.25, 1.
#[test]
fn distances_of_all_parties_add_up_and_the_nearest_is_the_label() {
    let plans = compile_all(&version("1.11.4"), &parties(), FATE).unwrap();
    assert_answer(&plans.answer(&row(2.0)), &[8.25, 18.25, 12.0], Some("0"));
    assert_answer(&plans.answer(&row(6.0)), &[32.25, 10.25, 52.0], Some("1"));
    let fewer = compile_all(&version("1.5.0"), &parties()[..2], FATE).unwrap();
    assert_answer(&fewer.answer(&row(2.0)), &[6.0, 17.0, 10.0], Some("0"));
    assert_eq!(fewer.guest.verdict().kind, "k-means of 3 clusters");
    assert_eq!(fewer.guest.verdict().features, ["x0", "x1"]);
}

#[test]
fn of_equal_distances_the_first_is_nearest() {
    let parties = [
        clusters("HeteroKmeansGuest", &["x"], &[&[9.0], &[1.0], &[-1.0]]),
        clusters("HeteroKmeansHost", &["h"], &[&[0.0], &[0.0], &[0.0]]),
    ];
    let plans = compile_all(&version("1.11.4"), &parties, FATE).unwrap();
    let answer = plans.answer(&[json!({"x": 0}), json!({"h": 0})]);
    assert_answer(&answer, &[81.0, 1.0, 1.0], Some("1"));
}

#[test]
fn a_feature_without_value_is_no_score() {
    let plans = compile_all(&version("1.11.4"), &parties()[..2], FATE).unwrap();
    for guest in [
        json!({"x0": 1}),
        json!({"x0": 1, "x1": null}),
        json!({"x0": 1, "x1": "NaN"}),
    ] {
        assert_eq!(plans.answer(&[guest, json!({"h0": 1})]), Err(110));
    }
    assert_eq!(
        plans.answer(&[json!({"x0": 1, "x1": 1}), json!({})]),
        Err(110)
    );
    let far = [json!({"x0": 1e200, "x1": 1}), json!({"h0": 1})];
    assert_eq!(plans.answer(&far), Err(110));
}

#[test]
fn hosts_send_a_distance_per_cluster() {
    let plans = compile_all(&version("1.11.4"), &parties()[..2], FATE).unwrap();
    let text = part(&plans.hosts[0], &json!({"h0": 1.5})).unwrap();
    assert_eq!(text, r#"{"hetero_kmeans_0":{"score":[0.25,12.25,6.25]}}"#);
    for data in [
        r#"{"hetero_kmeans_0":{"score":[0.25,12.25]}}"#,
        r#"{"hetero_kmeans_0":{"score":[0.25,12.25,1,1]}}"#,
        r#"{"hetero_kmeans_0":{"score":0.25}}"#,
        r#"{"hetero_kmeans_0":{"score":[1,2,"NaN"]}}"#,
        r#"{"score":[1,2,3]}"#,
    ] {
        let fault = plans.guest.read_partial("10000", data).unwrap_err();
        assert_eq!(fault.code.0, 108, "{data}");
    }
}

#[test]
fn java_and_damaged_centroids_are_refused() {
    let text = refusal(&version("1.11.4"), &parties(), JAVA);
    assert!(text.contains("load it with semantics fate"), "{text}");
    let broken: [Vec<Component>; 4] = [
        clusters("HeteroKmeansGuest", &["x"], &[&[0.0, 1.0], &[1.0, 1.0]]),
        clusters("HeteroKmeansGuest", &["x"], &[&[0.0]]),
        clusters("HeteroKmeansGuest", &[], &[&[], &[]]),
        clusters("HeteroKmeansGuest", &["x"], &[&[0.0], &[f64::NAN]]),
    ];
    for guest in broken {
        let text = refusal(&version("1.11.4"), &[guest, parties()[1].clone()], FATE);
        assert!(text.contains("centroid"), "{text}");
    }
}
