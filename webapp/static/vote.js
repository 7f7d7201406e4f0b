// The public voting page: one battle after another, by buttons or keys; the last vote can be changed.
(() => {
  const here = location.pathname.replace(/\/$/, "");
  const part = (id) => document.getElementById(id);
  const buttons = [...document.querySelectorAll("[data-vote]")];
  const keys = { 1: "a", 2: "both_good", 3: "both_bad", 4: "b", s: "skip" };
  const MILLISECONDS_BETWEEN_LOOKS = 700;
  let present = null, last = null, shownAt = 0, isSending = false;

  async function ask(path, options = {}) {
    let answer;
    try {
      answer = await fetch(here + path, options);
    } catch {
      throw new Error("The server cannot be reached. Check your connection, then press again.");
    }
    const body = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error([body.error ?? "That did not work.", body.advice ?? ""].join(" ").trim());
    return body;
  }

  function say(words) {
    const notice = part("notice");
    notice.textContent = words;
    notice.className = words ? "h-note" : "";
  }

  function count(number) {
    if (number !== undefined) part("count").textContent = number === 1 ? "1 vote given" : `${number} votes given`;
  }

  function wait(words) {
    present = null;
    part("bar").hidden = true;
    part("prompt").textContent = words;
    for (const id of ["answer-a", "answer-b"]) part(id).innerHTML = '<div class="h-skeleton"></div>';
  }

  // Both answers at once. They are markup that the server has made of them, with everything else escaped.
  function show(battle) {
    present = battle;
    part("prompt").textContent = battle.prompt;
    part("answer-a").innerHTML = battle.a;
    part("answer-b").innerHTML = battle.b;
    part("bar").hidden = false;
    part("back").hidden = !last || last === battle;
    shownAt = performance.now();
    scrollTo(0, 0);
  }

  async function next() {
    wait("The next two answers are on their way…");
    try {
      let battle = await ask("/battles", { method: "POST" });
      count(battle.num_votes);
      do {
        if (battle.state === "preparing") await new Promise((done) => setTimeout(done, MILLISECONDS_BETWEEN_LOOKS));
        battle = await ask("/battles/" + battle.id);
      } while (battle.state === "preparing");
      if (battle.state === "failed") throw new Error("These two answers could not be had. Load the page again for others.");
      show(battle);
    } catch (error) {
      part("prompt").textContent = "";
      say(error.message);
    }
  }

  async function vote(outcome) {
    if (!present || isSending) return;
    isSending = true;
    buttons.forEach((button) => { button.disabled = true; });
    const battle = present;
    try {
      const kept = await ask(`/battles/${battle.id}/vote`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ outcome, seconds: (performance.now() - shownAt) / 1000 }),
      });
      say("");
      count(kept.num_votes);
      last = battle;
      await next();
    } catch (error) {
      say(error.message);
    } finally {
      isSending = false;
      buttons.forEach((button) => { button.disabled = false; });
    }
  }

  for (const button of buttons) button.addEventListener("click", () => vote(button.dataset.vote));
  part("back").addEventListener("click", () => {
    if (!last || isSending) return;
    say("Your new vote on these two answers takes the place of your last one.");
    show(last);
  });
  addEventListener("keydown", (event) => {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    const outcome = keys[event.key.toLowerCase()];
    if (outcome) vote(outcome);
  });
  next();
})();
