// The review's keys and buttons. Each press names the row that it is about; until its answer is there, none other counts.
window.honeReview ??= (() => {
  const keys = { a: "accept", e: "edit", r: "reject", u: "undo", arrowleft: "back", arrowright: "next" };
  let count = Date.now(), waitsUntil = 0;
  const page = () => document.querySelector(".h-review-page");
  const isWaiting = () => performance.now() < waitsUntil && page()?.dataset.turn !== String(count);
  const isEditing = () => page()?.querySelector("[data-edit]")?.hidden === false;

  function tell(wish, more = {}) {
    const field = document.querySelector("#h-review-told textarea, #h-review-told input");
    if (!field || isWaiting()) return;
    const { row, seen = "", show } = page().dataset;
    waitsUntil = performance.now() + 10_000;
    field.value = JSON.stringify({ turn: ++count, wish, row: row === undefined ? null : Number(row), seen, show, ...more });
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }
  function edit(isOn) {
    page().querySelector("[data-view]").hidden = isOn;
    page().querySelector("[data-edit]").hidden = !isOn;
    page().querySelector("[data-keys=deciding]").hidden = isOn;
    page().querySelector("[data-keys=editing]").hidden = !isOn;
    if (isOn) [...page().querySelectorAll("textarea")].at(-1)?.focus();
  }
  function texts() {
    return Object.fromEntries([...page().querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part.value]));
  }
  function act(wish, to) {
    if (wish === "edit") edit(true);
    else if (wish === "cancel") edit(false);
    else if (wish === "save") tell("edit", { texts: texts() });
    else tell(wish, to ? { show: to } : {});
  }
  addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-review]");
    if (button && !button.disabled) act(button.dataset.review, button.dataset.to);
  });
  addEventListener("keydown", (event) => {
    if (!page() || event.repeat || event.altKey) return;
    if (isEditing()) {
      if (event.key === "Escape") act("cancel");
      else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) act("save");
      else return;
      event.preventDefault();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.target.closest?.("input, textarea, select, dialog, [contenteditable]")) return;
    const wish = keys[event.key.toLowerCase()];
    const button = wish && page().querySelector(`[data-keys=deciding] [data-review=${wish}]`);
    if (!button || button.disabled) return;
    event.preventDefault();
    act(wish);
  });
  return {};
})();
