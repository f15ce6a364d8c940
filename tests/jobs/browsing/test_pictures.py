from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from browsed import browsed_run

from jobs.browsing import pictures as module
from jobs.browsing.image_table import image_table
from jobs.browsing.pictures import Pictures
from jobs.browsing.query import Query
from jobs.pages.gallery import image_source


def test_pictures_of_the_images_in_the_inventory_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = browsed_run(tmp_path, num_photos=6)
    monkeypatch.setattr(module, "_MAX_KEPT", 3)
    pictures = Pictures(image_source(run), run.storage)
    with image_table(run, 128 << 20) as table:
        found = [table.image(image.identity) for image in table.page(Query(size=100)).images]
    places = {image.values[0]: (image.identity, place) for image, place in filter(None, found)}
    with ThreadPoolExecutor(4) as pool:
        made = dict(zip(places, pool.map(lambda one: pictures.get(*one), places.values()), strict=True))
    failed = {Path(name).name for name, picture in made.items() if not picture.webp}
    assert failed == {"junk-bad.jpg"}
    assert len({picture.webp for picture in made.values()}) == len(made)
    assert len(pictures._kept) == 3
    # A file that replaced a listed one is not shown.
    replaced = tmp_path / "data" / "000.jpg"
    shutil.copy(tmp_path / "secret.jpg", replaced)
    changed = pictures.get(*places[str(replaced)]) if places[str(replaced)][0] not in pictures._kept else None
    assert changed is None or (not changed.webp and "changed" in changed.note)
