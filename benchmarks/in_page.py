"""JavaScript code that the benchmarks run in a page."""

FIND = """
  const find = (root) => {
    for (const element of root.querySelectorAll('*')) {
      if (element.classList.contains('attention_explorer')) return element;
      if (element.shadowRoot) { const found = find(element.shadowRoot); if (found) return found; }
    }
    return null;
  };
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
"""
"""`find(document)` returns the attention explorer, also inside shadow roots; `await frame()` waits
for the next frame."""
