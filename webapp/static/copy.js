// Buttons that copy: data-copy="what goes to the clipboard".
window.honeCopy ??= (() => {
  async function copy(button) {
    const text = button.dataset.copy;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without https the clipboard is closed: mark the text, so that the keyboard can copy it.
      const shown = button.parentElement.querySelector("code");
      if (shown) getSelection().selectAllChildren(shown);
      button.textContent = "Press Ctrl+C";
      return;
    }
    button.textContent = "Copied";
  }
  addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (button) copy(button);
  });
  return { copy };
})();
