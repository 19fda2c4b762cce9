"""The bundled models as HTML files that run by themselves: python -m docs.make_live [NAME ...]

They go to docs/live/, which git ignores: open one from disk, mail it, or put it on any static page.
"""

import sys
from pathlib import Path

from pages.components.widgets.live_model import live_page
from transformer import Checkpoint
from transformer.evaluation.held_out import examples_of
from transformer.tasks import find_task

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = 4


def main() -> None:
    folder = ROOT / "docs" / "live"
    folder.mkdir(exist_ok=True)
    wanted = sys.argv[1:] or sorted(
        path.stem for path in (ROOT / "checkpoints").glob("*.safetensors")
    )
    for name in wanted:
        checkpoint = Checkpoint.load(ROOT / "checkpoints" / f"{name}.safetensors")
        texts = [pair.source for pair in examples_of(checkpoint, None, EXAMPLES).pairs]
        title = f"{find_task(checkpoint.header.data.task).title}: a Transformer in this page"
        page = live_page(checkpoint, title, texts)
        path = folder / f"{name}.html"
        path.write_bytes(page)
        print(f"{path.relative_to(ROOT)}: {len(page) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
