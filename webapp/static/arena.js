// The arena's keys, and the time that a vote takes. Keys are those of the buttons that are on the screen.
window.honeArena ??= (() => {
  const keys = {
    1: "h-arena-vote-a", 2: "h-arena-vote-both_good", 3: "h-arena-vote-both_bad", 4: "h-arena-vote-b",
    s: "h-arena-vote-skip", n: "h-arena-next",
  };
  let shownAt = null;
  addEventListener("keydown", (event) => {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest?.("input:not([type=radio], [type=checkbox]), textarea, select, dialog, [contenteditable]")) return;
    const button = document.getElementById(keys[event.key.toLowerCase()]);
    if (!button || button.disabled || !button.offsetParent) return;
    event.preventDefault();
    button.click();
  });
  // Of presses in one breath the first counts: on their way to the server a later one could overtake it.
  let votedIn = null, votedAt = 0;
  addEventListener("click", (event) => {
    if (!event.target.closest?.("[id^='h-arena-vote-']")) return;
    if (votedIn === location.search && performance.now() - votedAt < 500) event.stopImmediatePropagation();
    else [votedIn, votedAt] = [location.search, performance.now()];
  }, true);
  return {
    answersShown() { shownAt = performance.now(); },
    seconds() { return shownAt === null ? null : (performance.now() - shownAt) / 1000; },
  };
})();
