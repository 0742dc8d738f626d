"""The forests of the bench sets in XGBoost, LightGBM, ONNX Runtime and tl2cgen, on one thread: microseconds per row.

Called by `benches/peers/run`. Every peer gets the same trees (xgboost.json), the same rows (16,384 different ones) and has
to give XGBoost's margins. Batch 1 is measured where a peer is meant to be called for one row: through C for tl2cgen and
LightGBM's fast single-row call, through Python for the others, whose call costs more than the trees.
"""

import csv
import ctypes
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROWS = 16_384
BATCH = 1024
PASSES = 5


def cells(path):
    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    skip = 2 if rows[0][1] == "y" else 1
    return np.array([[float(cell) if cell else np.nan for cell in row[skip:]] for row in rows[1:]])


def mixed_rows(directory):
    """As the engine's own bench mixes them: row n takes each column from another row of the set."""
    table = np.hstack([cells(directory / "guest_9999/features.csv"), cells(directory / "host_10000/features.csv")])
    count, columns = table.shape
    number = np.arange(ROWS)
    mixed = [table[(number + column * (number // count + 1) * 7) % count, column] for column in range(columns)]
    return np.ascontiguousarray(np.stack(mixed, axis=1), dtype=np.float32)


def fastest(work):
    """Seconds of the fastest pass."""
    spent = []
    for _ in range(PASSES):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return min(spent)


class Trees:
    def __init__(self, path):
        self.path = path
        model = json.loads(Path(path).read_text())["learner"]
        self.trees = model["gradient_booster"]["model"]["trees"]
        self.features = int(model["learner_model_param"]["num_feature"])

    @staticmethod
    def inner(tree):
        return [node for node, left in enumerate(tree["left_children"]) if left >= 0]


# --- XGBoost


def xgboost(trees, rows):
    import xgboost

    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(trees.path)
    booster.set_param({"nthread": 1})

    def predict(part):
        return booster.inplace_predict(part, predict_type="margin")

    single = rows[:512]
    times = {
        "batch 1, Python": fastest(lambda: [predict(single[n : n + 1]) for n in range(len(single))]) / len(single),
        "batch 1024, Python": fastest(lambda: [predict(rows[n : n + BATCH]) for n in range(0, ROWS, BATCH)]) / ROWS,
    }
    return xgboost.__version__, times, predict(rows)


# --- LightGBM: the same trees in its text form. It goes left at `<=`, XGBoost at `<`.


def lightgbm_text(trees):
    blocks, sizes = [], []
    for number, tree in enumerate(trees.trees):
        inner = Trees.inner(tree)
        places = {node: place for place, node in enumerate(inner)}
        leaves = {}
        for node, left in enumerate(tree["left_children"]):
            if left < 0:
                leaves[node] = len(leaves)

        def child(node):
            return places[node] if node in places else ~leaves[node]

        def below(threshold):
            return float(np.nextafter(np.float32(threshold), np.float32(-np.inf)))

        def line(name, values):
            return name + "=" + " ".join(str(value) for value in values)

        # Numerical, default left or right, missing is NaN.
        kinds = [10 if tree["default_left"][node] else 8 for node in inner]
        leaf_values = [tree["split_conditions"][node] for node in leaves]
        block = [
            f"Tree={number}",
            f"num_leaves={len(leaves)}",
            "num_cat=0",
            line("split_feature", [tree["split_indices"][node] for node in inner]),
            line("split_gain", [1] * len(inner)),
            line("threshold", [repr(below(tree["split_conditions"][node])) for node in inner]),
            line("decision_type", kinds),
            line("left_child", [child(tree["left_children"][node]) for node in inner]),
            line("right_child", [child(tree["right_children"][node]) for node in inner]),
            line("leaf_value", [repr(float(np.float32(value))) for value in leaf_values]),
            line("leaf_weight", [1] * len(leaves)),
            line("leaf_count", [1] * len(leaves)),
            line("internal_value", [0] * len(inner)),
            line("internal_weight", [1] * len(inner)),
            line("internal_count", [1] * len(inner)),
            "is_linear=0",
            "shrinkage=1",
            "",
            "",
        ]
        blocks.append("\n".join(block) + "\n")
        sizes.append(len(blocks[-1]))
    names = " ".join(f"f{feature}" for feature in range(trees.features))
    infos = " ".join(["[-1e30:1e30]"] * trees.features)
    head = (
        "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\n"
        f"max_feature_idx={trees.features - 1}\nobjective=regression\nfeature_names={names}\nfeature_infos={infos}\n"
        f"tree_sizes={' '.join(map(str, sizes))}\n\n"
    )
    return head + "".join(blocks) + "end of trees\n\nfeature_importances:\n\nparameters:\nend of parameters\n\npandas_categorical:null\n"


def lightgbm(trees, rows):
    import lightgbm
    from lightgbm.basic import _LIB

    booster = lightgbm.Booster(model_str=lightgbm_text(trees))
    wide = rows.astype(np.float64)
    # C_API_DTYPE_FLOAT64, C_API_PREDICT_RAW_SCORE.
    config, done, out = ctypes.c_void_p(), ctypes.c_int64(), ctypes.c_double()
    settings = ctypes.c_char_p(b"num_threads=1")
    made = _LIB.LGBM_BoosterPredictForMatSingleRowFastInit(
        booster._handle, 1, 0, -1, 1, ctypes.c_int32(trees.features), settings, ctypes.byref(config)
    )
    if made != 0:
        raise RuntimeError("LightGBM takes no single rows")
    call = _LIB.LGBM_BoosterPredictForMatSingleRowFast
    pointers = [ctypes.c_void_p(wide[n].ctypes.data) for n in range(ROWS)]
    length, result = ctypes.byref(done), ctypes.byref(out)

    def singles():
        for pointer in pointers:
            call(config, pointer, length, result)

    times = {
        "batch 1, C call from Python": fastest(singles) / ROWS,
        "batch 1024, Python": fastest(
            lambda: [booster.predict(wide[n : n + BATCH], raw_score=True, num_threads=1) for n in range(0, ROWS, BATCH)]
        )
        / ROWS,
    }
    return lightgbm.__version__, times, booster.predict(wide, raw_score=True, num_threads=1)


# --- ONNX Runtime


def onnx_model(trees):
    from onnx import TensorProto, helper

    columns = {
        name: []
        for name in (
            "nodes_treeids nodes_nodeids nodes_featureids nodes_values nodes_modes nodes_truenodeids nodes_falsenodeids "
            "nodes_missing_value_tracks_true target_treeids target_nodeids target_ids target_weights"
        ).split()
    }
    for number, tree in enumerate(trees.trees):
        for node, left in enumerate(tree["left_children"]):
            is_leaf = left < 0
            condition = float(np.float32(tree["split_conditions"][node]))
            columns["nodes_treeids"].append(number)
            columns["nodes_nodeids"].append(node)
            columns["nodes_featureids"].append(0 if is_leaf else tree["split_indices"][node])
            columns["nodes_values"].append(0.0 if is_leaf else condition)
            columns["nodes_modes"].append("LEAF" if is_leaf else "BRANCH_LT")
            columns["nodes_truenodeids"].append(0 if is_leaf else left)
            columns["nodes_falsenodeids"].append(0 if is_leaf else tree["right_children"][node])
            columns["nodes_missing_value_tracks_true"].append(int(tree["default_left"][node]))
            if is_leaf:
                columns["target_treeids"].append(number)
                columns["target_nodeids"].append(node)
                columns["target_ids"].append(0)
                columns["target_weights"].append(condition)
    ensemble = helper.make_node(
        "TreeEnsembleRegressor", ["rows"], ["margin"], domain="ai.onnx.ml", n_targets=1, **columns
    )
    graph = helper.make_graph(
        [ensemble],
        "forest",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, trees.features])],
        [helper.make_tensor_value_info("margin", TensorProto.FLOAT, [None, 1])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return model.SerializeToString()


def onnx(trees, rows):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx_model(trees), options, providers=["CPUExecutionProvider"])

    def predict(part):
        return session.run(None, {"rows": part})[0]

    single = rows[:4096]
    times = {
        "batch 1, Python": fastest(lambda: [predict(single[n : n + 1]) for n in range(len(single))]) / len(single),
        "batch 1024, Python": fastest(lambda: [predict(rows[n : n + BATCH]) for n in range(0, ROWS, BATCH)]) / ROWS,
    }
    return onnxruntime.__version__, times, predict(rows).ravel()


# --- tl2cgen: compiled C, called from C

HARNESS = r"""
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "header.h"
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
int main(int count, char** words) {
  int rows = atoi(words[2]), columns = atoi(words[3]);
  float* cells = malloc(sizeof(float) * (size_t)rows * columns);
  FILE* file = fopen(words[1], "rb");
  if (!file || fread(cells, sizeof(float), (size_t)rows * columns, file) != (size_t)rows * columns) return 1;
  union Entry* row = malloc(sizeof(union Entry) * columns);
  float* margins = malloc(sizeof(float) * rows);
  double best = 1e9;
  for (int pass = 0; pass < PASSES; pass++) {
    double began = now();
    for (int n = 0; n < rows; n++) {
      for (int c = 0; c < columns; c++) {
        float cell = cells[(size_t)n * columns + c];
        if (cell != cell) row[c].missing = -1; else row[c].fvalue = cell;
      }
      float out = 0;
      predict(row, 1, &out);
      margins[n] = out;
    }
    double spent = now() - began;
    if (spent < best) best = spent;
  }
  FILE* result = fopen(words[4], "wb");
  fwrite(margins, sizeof(float), rows, result);
  fclose(result);
  printf("%.9f\n", best / rows);
  return 0;
}
"""


def tl2cgen(trees, rows):
    import tl2cgen
    import treelite

    model = treelite.frontend.load_xgboost_model(trees.path)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        source = folder / "source"
        tl2cgen.generate_c_code(model, dirpath=source, params={"parallel_comp": 16}, verbose=False)
        (source / "harness.c").write_text(HARNESS)
        rows.tofile(folder / "rows")
        program = folder / "program"
        files = [str(path) for path in source.glob("*.c")]
        subprocess.run(
            ["gcc", "-O3", "-march=native", f"-DPASSES={PASSES}", "-o", program, *files, "-lm"], check=True, timeout=1200
        )
        words = [program, folder / "rows", str(len(rows)), str(trees.features), folder / "margins"]
        spent = float(subprocess.run(words, check=True, capture_output=True, timeout=600).stdout)
        margins = np.fromfile(folder / "margins", dtype=np.float32)
    return tl2cgen.__version__, {"batch 1, C": spent}, margins


def main(directories):
    print(f"{'set':<18}{'peer':<22}{'how':<30}{'us per row':>10}")
    for directory in map(Path, directories):
        trees, rows = Trees(str(directory / "xgboost.json")), mixed_rows(directory)
        expected = None
        for peer in (xgboost, lightgbm, onnx, tl2cgen):
            version, times, margins = peer(trees, rows)
            if expected is None:
                expected = margins
            difference = float(np.max(np.abs(margins - expected)))
            if not difference < 1e-3:
                sys.exit(f"{directory.name}: {peer.__name__} gives other margins than XGBoost, by up to {difference}")
            for how, seconds in times.items():
                print(f"{directory.name:<18}{peer.__name__ + ' ' + version:<22}{how:<30}{seconds * 1e6:>10.3f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
