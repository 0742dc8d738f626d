"""SecretFlow-Serving, two live parties, and what a prediction costs it: CPU microseconds of both, milliseconds at p50.

Called by `benches/peers/secretflow`, which measures our two parties in the same run. The wheel's `inferencer` serves as long
as its requester is a third party that never asks for its bulk job, and that party's heartbeats are sent here. Its features
are made by the server at random (`mockOpts`): they cost it nothing to receive, ours arrive as JSON in the request.
"""

import http.client
import io
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path

from google.protobuf.json_format import MessageToJson
from secretflow_serving_lib import get_op
from secretflow_serving_lib.attr_pb2 import AttrValue, DoubleList, Int32List, StringList
from secretflow_serving_lib.bundle_pb2 import FileFormatType, ModelBundle, ModelManifest
from secretflow_serving_lib.graph_pb2 import DispatchType, ExecutionDef, GraphDef, NodeDef, RuntimeConfig

PARTIES = ("alice", "bob")
PORTS = {"alice": 19010, "bob": 19011}
LINKS = {"alice": 19110, "bob": 19111}
DEPTH = 6
WARM_UP, SECONDS = 2.0, float(os.environ.get("FATE_PEERS_SECONDS", "5"))
TICK = 1 / os.sysconf("SC_CLK_TCK")


def node(op, name, parents, **attributes):
    definition = get_op(op)
    return NodeDef(
        name=name, op=definition.name, op_version=definition.version, parents=parents, attr_values=attributes
    )


def texts(values):
    return AttrValue(ss=StringList(data=values))


def numbers(values):
    return AttrValue(ds=DoubleList(data=values))


def integers(values):
    return AttrValue(i32s=Int32List(data=values))


def execution(nodes, dispatch, **more):
    return ExecutionDef(nodes=nodes, config=RuntimeConfig(dispatch_type=dispatch, session_run=False, **more))


def names(party, features):
    return [f"{party[0]}{feature}" for feature in range(features)]


def linear(party, features):
    dice = random.Random(party)
    part = node(
        "DOT_PRODUCT",
        "dot",
        [],
        feature_names=texts(names(party, features)),
        feature_weights=numbers([dice.uniform(-1, 1) for _ in range(features)]),
        input_types=texts(["DT_DOUBLE"] * features),
        output_col_name=AttrValue(s="y"),
        intercept=AttrValue(d=0.1),
    )
    merge = node(
        "MERGE_Y",
        "merge",
        ["dot"],
        input_col_name=AttrValue(s="y"),
        output_col_name=AttrValue(s="score"),
        link_function=AttrValue(s="LF_SIGMOID_RAW"),
        yhat_scale=AttrValue(d=1.0),
    )
    steps = [execution(["dot"], DispatchType.DP_ALL), execution(["merge"], DispatchType.DP_ANYONE)]
    return GraphDef(version="0.0.1", node_list=[part, merge], execution_list=steps)


def forest(party, trees, features=25):
    """Complete trees; which party a node belongs to comes from the same rolls for both."""
    dice = random.Random(5)
    total, first_leaf = 2 ** (DEPTH + 1) - 1, 2**DEPTH - 1
    leaves = list(range(first_leaf, total))
    nodes, selects, merges = [], [], []
    for tree in range(trees):
        columns, splits = [], []
        for place in range(total):
            is_own = (dice.random() < 0.5) == (party == "alice")
            feature, split = dice.randrange(features), dice.uniform(0.2, 1.8)
            is_inner = place < first_leaf
            columns.append(feature if is_inner and is_own else -1)
            splits.append(split if is_inner else 0.0)
        weights = [dice.uniform(-0.1, 0.1) for _ in leaves]
        children = [2 * place + 1 if place < first_leaf else -1 for place in range(total)]
        nodes.append(
            node(
                "TREE_SELECT",
                f"select{tree}",
                [],
                input_feature_names=texts(names(party, features)),
                input_feature_types=texts(["DT_DOUBLE"] * features),
                output_col_name=AttrValue(s="selects"),
                root_node_id=AttrValue(i32=0),
                node_ids=integers(list(range(total))),
                lchild_ids=integers(children),
                rchild_ids=integers([child + 1 if child > 0 else -1 for child in children]),
                leaf_node_ids=integers(leaves),
                split_feature_idxs=integers(columns),
                split_values=numbers(splits),
            )
        )
        own = {"leaf_weights": numbers(weights)} if party == "alice" else {}
        nodes.append(
            node(
                "TREE_MERGE",
                f"merge{tree}",
                [f"select{tree}"],
                input_col_name=AttrValue(s="selects"),
                output_col_name=AttrValue(s="w"),
                **own,
            )
        )
        selects.append(f"select{tree}")
        merges.append(f"merge{tree}")
    ensemble = node(
        "TREE_ENSEMBLE_PREDICT",
        "ensemble",
        merges,
        input_col_name=AttrValue(s="w"),
        output_col_name=AttrValue(s="score"),
        num_trees=AttrValue(i32=trees),
        algo_func=AttrValue(s="LF_SIGMOID_RAW"),
    )
    steps = [
        execution(selects, DispatchType.DP_ALL),
        execution([*merges, "ensemble"], DispatchType.DP_SPECIFIED, specific_flag=party == "alice"),
    ]
    return GraphDef(version="0.0.1", node_list=[*nodes, ensemble], execution_list=steps)


def write_package(path, graph):
    bundle = ModelBundle(name="bench", desc="bench", graph=graph).SerializeToString()
    manifest = ModelManifest(bundle_path="model_file", bundle_format=FileFormatType.FF_PB)
    with tarfile.open(path, "w:gz") as package:
        for name, content in (("MANIFEST", MessageToJson(manifest).encode()), ("model_file", bundle)):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            package.addfile(entry, io.BytesIO(content))


def write_party(home, party, graph):
    home.mkdir()
    write_package(home / "model.tar.gz", graph)
    place = PARTIES.index(party)
    serving = {
        "id": "bench",
        "serverConf": {
            "host": "127.0.0.1",
            "servicePort": PORTS[party],
            "communicationPort": LINKS[party],
            "metricsExposerPort": 19310 + place,
        },
        "modelConf": {
            "modelId": "bench",
            "basePath": str(home / "data"),
            "sourcePath": str(home / "model.tar.gz"),
            "sourceType": "ST_FILE",
        },
        "clusterConf": {
            "selfId": party,
            "parties": [{"id": one, "address": f"127.0.0.1:{LINKS[one]}"} for one in PARTIES],
            "channelDesc": {"protocol": "baidu_std"},
        },
        "featureSourceConf": {"mockOpts": {"type": "MDT_RANDOM"}},
    }
    files = {
        "serving.config": serving,
        "inference.config": {
            "requester_id": "carol",
            "result_file_path": str(home / "out.csv"),
            "score_col_name": "score",
        },
        "logging.config": {"systemLogPath": str(home / "serving.log"), "logLevel": "WARN_LOG_LEVEL"},
    }
    for name, content in files.items():
        (home / name).write_text(json.dumps(content))


def start(program, home):
    words = [program] + [
        f"--{kind}_config_file={home / kind}.config" for kind in ("serving", "inference", "logging")
    ]
    with open(home / "output.log", "wb") as log:
        return subprocess.Popen(words, stdout=log, stderr=log)


def post(port, path, body, timeout=8):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        return connection.getresponse().read()
    finally:
        connection.close()


def beat(stop):
    """The third party, which is never there for anything else."""
    kind = "CM_INIT"
    while not stop.is_set():
        for port in LINKS.values():
            try:
                post(port, "/InferenceControlService/Push", json.dumps({"party_id": "carol", "type": kind}), 2)
            except OSError:
                pass
        kind = "CM_KEEPALIVE"
        stop.wait(1)


def cpu(processes):
    spent = 0
    for process in processes:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        spent += int(fields[11]) + int(fields[12])
    return spent * TICK


def question(rows):
    ids = [str(row) for row in range(rows)]
    return json.dumps({"service_spec": {"id": "bench"}, "fs_params": {one: {"query_datas": ids} for one in PARTIES}})


def ask(connection, body):
    connection.request("POST", "/PredictionService/Predict", body, {"Content-Type": "application/json"})
    answer = connection.getresponse().read()
    if b'"code":1' not in answer:
        raise RuntimeError(f"SecretFlow-Serving: {answer[:300]!r}")


def wait_until_it_answers(processes):
    until = time.monotonic() + 60
    while True:
        if any(process.poll() is not None for process in processes):
            raise RuntimeError("SecretFlow-Serving ended while starting")
        try:
            connection = http.client.HTTPConnection("127.0.0.1", PORTS["alice"], timeout=8)
            return ask(connection, question(1))
        except (OSError, RuntimeError, http.client.HTTPException) as cause:
            if time.monotonic() > until:
                raise RuntimeError("SecretFlow-Serving does not answer") from cause
            time.sleep(0.3)


def measure(processes, rows):
    connection = http.client.HTTPConnection("127.0.0.1", PORTS["alice"], timeout=8)
    body = question(rows)

    def ask_for(seconds):
        latencies, until = [], time.perf_counter() + seconds
        while (began := time.perf_counter()) < until:
            ask(connection, body)
            latencies.append(time.perf_counter() - began)
        return latencies

    ask_for(WARM_UP)
    before = cpu(processes)
    latencies = ask_for(SECONDS)
    spent = cpu(processes) - before
    latencies.sort()
    return spent / len(latencies) * 1e6, latencies[len(latencies) // 2] * 1e3


def main(program, *cases):
    for case in cases:
        kind, size = case.split(":")
        graph = linear if kind == "lr" else forest
        with tempfile.TemporaryDirectory() as folder:
            homes = {party: Path(folder) / party for party in PARTIES}
            for party, home in homes.items():
                write_party(home, party, graph(party, int(size)))
            processes = [start(program, homes[party]) for party in PARTIES]
            stop = threading.Event()
            heart = threading.Thread(target=beat, args=(stop,), daemon=True)
            heart.start()
            try:
                wait_until_it_answers(processes)
                for rows in (1, 64):
                    micros, millis = measure(processes, rows)
                    print(
                        f"SecretFlow-Serving {kind} {size}, {rows} rows: {micros:.0f} us CPU per call, p50 {millis:.3f} ms",
                        flush=True,
                    )
            finally:
                stop.set()
                for process in processes:
                    process.kill()
                    process.wait()
                heart.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
