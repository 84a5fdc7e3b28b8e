"""EXPORT. How do I take it with me?"""

from pathlib import Path

import streamlit as st

from core.experiments import best
from core.experiments.handles import Run
from core.inference import exports, usage
from core.results import scoring
from pages.parts import address, experiment_picker, file_stamp, run_words, screen, selection_bar
from pages.parts.text import plain

screen.enter(__file__)

experiment_picker.require("Embeddings to download")
headline = st.container()
pickers = st.columns(2)
with pickers[0]:
    experiment = experiment_picker.pick()
done = experiment_picker.finished_runs(experiment, "Embeddings to download")
with pickers[1]:
    name = address.pick("Run", done, "run", default=len(done) - 1)
run = experiment.run(name)
path = run.embeddings_file


@st.cache_data(max_entries=16, show_spinner="Verifying …")
def _described(path_: str, modified: int, size: int) -> tuple[int, int, str]:
    table = scoring.read_embeddings(run)
    return len(table), table.embedding.shape[1], table.metadata["normalization"]


@st.cache_data(max_entries=16, show_spinner="Verifying …")
def _values(path_: str, modified: int, size: int) -> dict:
    """What stands in the header of weights that are what was saved."""
    return exports.verified_weights(Run(Path(path_).parent))[1]


def _weights_to_take(weights: Path, file: str) -> None:
    """The encoder's weights to download, and the code that embeds with them."""
    values = _values(*file_stamp.stamp(weights)) if weights.is_file() else exports.verified_weights(Run(weights.parent))[1]
    st.write(f"The encoder's best weights under timm's names, selected on validation. "
             f"{weights.stat().st_size / 1e6:.1f} MB.")
    if best.epoch(Run(weights.parent)) == 0:
        st.markdown(":orange[No epoch of training was better on validation, so these are the weights before training.]")
    with weights.open("rb") as content:
        st.download_button("Download weights", content, file, "application/octet-stream", icon=":material/download:",
                           on_click="ignore")
    st.code(usage.snippet(file, values), language="python")
    exact = ("The vectors above, for any image; scale 16-bit images to 8 bits first." if usage.is_exact(values) else
             "Near the vectors above but not the same: this run was trained before images were resized as timm does.")
    st.caption(exact)


n_rows, width, normalization = _described(*file_stamp.stamp(path))
with headline:
    run_words.leak_note([run.config])
headline.header(f"{n_rows:,} images × {width} dimensions, verified and ready to take along.")

table_tab, weights_tab, page_tab = st.tabs(["Embeddings (Parquet)", "Encoder (safetensors, ONNX)", "One page (HTML)"])
file = f"{experiment.name}-{name}.parquet"
with table_tab:
    unit = "of length 1" if normalization == "l2" else "as the encoder gives them"
    st.write(f"Every image with its class, split, group, K-means cluster, 2D place and vector ({unit}), and how it was made. "
             f"{path.stat().st_size / 1e6:.1f} MB; anything that reads Parquet opens it.")
    chosen, word = selection_bar.pick(experiment, n_rows)
    with st.container(horizontal=True):
        if chosen is None:
            with path.open("rb") as content:
                st.download_button("Download Parquet", content, file, "application/vnd.apache.parquet", type="primary",
                                   icon=":material/download:", on_click="ignore")
        else:
            selection_bar.take_along(experiment, {name: path}, chosen, word)
    st.code(f"""import numpy as np
import pandas as pd

table = pd.read_parquet("{file}")
vectors = np.stack(table["embedding"])  # {n_rows:,} × {width}, float32""", language="python")
    st.code(f"""-- DuckDB: the ten nearest to one image
SELECT sample_id, label,
       list_cosine_similarity(embedding, (SELECT embedding FROM '{file}' LIMIT 1)) AS similarity
FROM '{file}' ORDER BY similarity DESC LIMIT 10;""", language="sql")
    st.code(f"embedding-atlas {file} --x x --y y --vector embedding", language="bash")
with weights_tab:
    weights = run.best_checkpoint
    if run.config.is_trained:
        with screen.in_words():
            _weights_to_take(weights, f"{experiment.name}-{name}.safetensors")
            st.caption("ONNX, from the command line:")
            st.code(f"python main.py export {experiment.name}/{name} --output {name}.onnx", language="bash")
            st.caption("Any folder of images through this encoder:")
            st.code(f"python main.py embed {experiment.name}/{name} FOLDER --output FILE.parquet", language="bash")
    elif run.config.table is not None:
        st.write("These vectors came from a table; there is no encoder to take along.")
    else:
        st.write(f"This encoder was not trained here: take it from timm, as {plain(run.config.encoder.name)}. Any folder of "
                 "images through it:")
        st.code(f"python main.py embed {experiment.name}/{name} FOLDER --output FILE.parquet", language="bash")
with page_tab:
    st.write("This space's numbers, layout and confusion on one page that needs no network. About 5 MB.")
    if st.button("Make the page", icon=":material/description:"):
        import tempfile

        from core.report import html

        with st.spinner("Drawing …"), tempfile.TemporaryDirectory() as temporary:
            page = Path(temporary) / "page.html"
            html.write_space(scoring.read_embeddings(run), f"{experiment.name}/{name}", page)
            content = page.read_bytes()
        st.download_button("Download HTML", content, f"{experiment.name}-{name}.html", "text/html",
                           icon=":material/download:", on_click="ignore")
