"""The browser of the tests works: what tests of pages rely on."""

from __future__ import annotations

from playwright.sync_api import Browser


def test_a_page_runs_its_script(browser: Browser) -> None:
    page = browser.new_page()
    page.set_content("<p>0</p><script>document.querySelector('p').textContent = 6 * 7</script>")
    assert page.inner_text("p") == "42"
    page.close()
