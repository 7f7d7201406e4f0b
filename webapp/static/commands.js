// Buttons and rows in markup of our own that tell the page's handler something: data-command="12:up", or a dragged row.
window.honeCommands ??= (() => {
  let count = 0;
  function tell(command) {
    const field = document.querySelector("#h-command textarea, #h-command input");
    if (!field) return;
    // The number makes two like commands after each other two changes.
    field.value = `${++count} ${command}`;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }
  addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-command]");
    if (button) tell(button.dataset.command);
  });

  // Rows with data-waiting="<job>" can be dragged onto each other.
  let dragged = null;
  const rowAt = (event) => event.target.closest?.("tr[data-waiting]");
  const isBelowMiddle = (event, row) => event.clientY > row.getBoundingClientRect().top + row.offsetHeight / 2;
  function unmark() {
    document.querySelectorAll(".h-drop-before, .h-drop-after").forEach((row) => row.classList.remove("h-drop-before", "h-drop-after"));
  }
  addEventListener("dragstart", (event) => {
    dragged = rowAt(event)?.dataset.waiting ?? null;
    if (dragged) event.dataTransfer.effectAllowed = "move";
  });
  addEventListener("dragover", (event) => {
    const row = dragged && rowAt(event);
    unmark();
    if (!row || row.dataset.waiting === dragged) return;
    event.preventDefault();
    row.classList.add(isBelowMiddle(event, row) ? "h-drop-after" : "h-drop-before");
  });
  addEventListener("drop", (event) => {
    const row = dragged && rowAt(event);
    if (row && row.dataset.waiting !== dragged) {
      event.preventDefault();
      tell(`${dragged}:${isBelowMiddle(event, row) ? "after" : "before"}:${row.dataset.waiting}`);
    }
    unmark();
    dragged = null;
  });
  addEventListener("dragend", unmark);
  return { tell };
})();
