// Scores that follow the conversation: while the button is pressed, every finished turn is scored under all models.
window.honeLiveScores ??= (() => {
  const KEY = "hone-live-scores";
  const isWanted = () => localStorage.getItem(KEY) === "yes";
  const latest = () => [...document.querySelectorAll(".h-pg-latest")].filter((one) => one.textContent.trim());
  // The buttons under an answer come when it is whole, so a column without them is still being written.
  const turn = () => {
    const places = latest().map((one) => one.querySelector("[data-turn] [data-act]")?.closest("[data-turn]").dataset.turn);
    return places.length && places.every(Boolean) ? places[0] : null;
  };
  let scored = "";
  let asked = 0;

  const show = async () => {
    const panel = document.querySelector(".h-pg-live");
    const button = document.getElementById("h-pg-score-live");
    if (!panel || !button) return;
    button.setAttribute("aria-pressed", String(isWanted()));
    panel.hidden = !isWanted();
    const number = turn();
    if (!isWanted() || number === null) return;
    const conversation = new URLSearchParams(location.search).get("c") || "";
    const state = `${conversation}/${number}/${latest().map((one) => one.textContent).join("\u0000")}`;
    if (state === scored && panel.childElementCount) return;
    scored = state;
    const mine = ++asked;
    panel.setAttribute("aria-busy", "true");
    if (!panel.childElementCount) panel.innerHTML = '<p class="h-quiet h-small">Scoring every answer under every model…</p>';
    const response = await fetch(`/api/playground/${conversation}/turns/${number}/scores`).catch(() => null);
    if (mine !== asked) return; // a newer turn is being scored
    panel.removeAttribute("aria-busy");
    if (response?.ok) {
      const template = document.createElement("template");
      template.innerHTML = await response.text();
      panel.replaceChildren(...template.content.querySelector(".h-stack").childNodes);
      return;
    }
    const told = response ? await response.json().catch(() => ({})) : { error: "Hone cannot be reached." };
    const words = document.createElement("p");
    words.className = "h-quiet h-small";
    words.textContent = `Not scored: ${told.error ?? `the server answered ${response.status}.`}`;
    panel.replaceChildren(words);
  };

  let waiting = 0;
  const soon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(show, 250);
  };
  document.addEventListener("click", (event) => {
    if (event.target.id !== "h-pg-score-live") return;
    localStorage.setItem(KEY, isWanted() ? "no" : "yes");
    scored = "";
    show();
  });
  const watch = () => {
    const place = document.querySelector(".h-pg-main");
    if (!place) return setTimeout(watch, 250);
    new MutationObserver(soon).observe(place, { childList: true, subtree: true });
    soon();
  };
  watch();
  return { show };
})();
