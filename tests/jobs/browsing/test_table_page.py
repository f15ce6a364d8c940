from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from browsed import Elements, browsed_run

from jobs.browsing.image_table import image_table
from jobs.browsing.query import Query
from jobs.browsing.table_page import make_image_page, make_table_page
from jobs.pages.picture_files import Thumbnail


def test_the_page_keeps_its_filter_in_every_link(tmp_path: Path) -> None:
    run = browsed_run(tmp_path)
    with image_table(run, 128 << 20) as table:
        query = Query(text=".JPG", sort="score", order="up", size=25)
        html = make_table_page(run, table, query, table.page(query))
        links = [unquote(link) for link in Elements(html).links if link.startswith("/?")]
        own = [link for link in links if "text=" in link]
        assert "/?text=.JPG&sort=score&page=2&size=25" in own
        assert "/?text=.JPG&sort=score&order=down&size=25" in own
        assert "/?text=.JPG&sort=label&size=25" in own
        assert html.count('aria-sort="ascending"') == 1
        assert 'value=".JPG"' in html
        assert "47 images" in html
        assert "page 1 of 2" in html
        nothing = Query(text="nothing")
        assert "No image matches" in make_table_page(run, table, nothing, table.page(nothing))


def test_the_page_of_an_image_escapes_its_values(tmp_path: Path) -> None:
    run = browsed_run(tmp_path, num_photos=1)
    with image_table(run, 128 << 20) as table:
        (image,) = table.page(Query(text="onerror")).images
        page = Elements(make_image_page(run, table, image, Thumbnail(b"", "<img src=x>\u202e")))
        assert "img" not in page.names
        assert "<img src=x>\\u202e" in page.text
        assert sum('"><img src=x onerror=alert(2)>.jpg' in text for text in page.text) >= 2
