// The playground's own hands: the buttons under prompts and answers, what opens over the page, the editor of examples.
window.honePlayground ??= (() => {
  const BASE = "/api/playground";
  const conversation = () => new URLSearchParams(location.search).get("c") || "";
  const element = (name, words, attributes = {}) => {
    const made = Object.assign(document.createElement(name), attributes);
    if (words !== undefined) made.textContent = words;
    return made;
  };

  // ------------------------------------------------------------------------------------------------- the server
  const refusal = async (response) => {
    const told = await response.json().catch(() => ({}));
    const words = typeof told.error === "string" ? told.error : `The server answered ${response.status}.`;
    return new Error([words, told.advice].filter(Boolean).join(" "));
  };
  const ask = async (path, options) => {
    const response = await fetch(path, options).catch(() => {
      throw new Error("Hone cannot be reached. Check that it is running, and try again.");
    });
    if (!response.ok) throw await refusal(response);
    return response;
  };
  const post = async (path, body = {}) => {
    const headers = { "content-type": "application/json" };
    return (await ask(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
  };

  // -------------------------------------------------------------------------------------------------- the sheet
  let sheet = null;
  const openSheet = () => {
    if (!sheet) {
      sheet = element("dialog", undefined, { className: "h-dialog h-pg-sheet" });
      sheet.addEventListener("click", (event) => {
        if (event.target === sheet || event.target.closest("[data-close]")) sheet.close();
      });
      sheet.addEventListener("close", () => sheet.replaceChildren());
      document.body.append(sheet);
    }
    if (!sheet.open) sheet.showModal();
    return sheet;
  };
  const showFault = (error) => {
    const place = sheet?.open ? sheet.querySelector("[role=alert]") : null;
    if (place) {
      place.textContent = error.message;
      place.hidden = false;
      place.scrollIntoView({ block: "nearest" });
      return;
    }
    const close = element("button", "Close", { type: "button", className: "h-button h-slim" });
    close.dataset.close = "";
    openSheet().replaceChildren(element("p", error.message, { className: "h-fault" }), close);
  };
  const load = async (path, words = "Working…") => {
    const wait = element("div", undefined, { className: "h-pg-wait" });
    wait.innerHTML = '<span></span><div class="h-progress h-going h-unknown" role="progressbar"><span></span></div>';
    wait.firstChild.textContent = words;
    openSheet().replaceChildren(wait);
    try {
      const response = await ask(path);
      sheet.innerHTML = await response.text();
      sheet.querySelector("textarea, select, input")?.focus();
    } catch (error) {
      sheet.replaceChildren();
      const close = element("button", "Close", { type: "button", className: "h-button h-slim" });
      close.dataset.close = "";
      sheet.append(element("p", error.message, { className: "h-fault" }), close);
    }
  };
  const follow = (reply) => {
    if (reply.address) location.assign(reply.address);
    else if (reply.html) {
      const body = sheet.querySelector(".h-stack");
      body.innerHTML = reply.html;
      body.querySelector("a, button")?.focus();
    }
  };

  // ---------------------------------------------------------------------------------- what the buttons under a text do
  let act = null;
  const rewrite = (asked) => {
    act = asked;
    document.getElementById("h-pg-rewrite").click();
  };
  const copy = async (text) => {
    if (navigator.clipboard && isSecureContext) return navigator.clipboard.writeText(text);
    const area = element("textarea", undefined, { value: text }); // plain http: the old way is the only one
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  };
  const lastTurn = () => {
    const turn = [...document.querySelectorAll(".h-pg-latest [data-turn]")].map((one) => one.dataset.turn)[0];
    if (!turn) throw new Error("The answers are still being written. Wait until they are, or stop them.");
    return turn;
  };
  const acts = {
    edit: ({ turn }) => load(`${BASE}/${conversation()}/turns/${turn}/edit`),
    copy: async ({ path, button }) => {
      await copy(await (await ask(`${path}/text`)).text());
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 1500);
    },
    regenerate: async ({ turn, column, path, isLatest }) =>
      isLatest ? rewrite({ act: "regenerate", turn, column }) : follow(await post(`${path}/regenerate`)),
    continue: async ({ turn, column, path, isLatest }) =>
      isLatest ? rewrite({ act: "continue", turn, column }) : follow(await post(`${path}/continue`)),
    tokens: ({ path }) => load(`${path}/tokens`, "Asking the model about every token…"),
    keep: ({ path }) => load(`${path}/keep`),
    differences: () => load(`${BASE}/${conversation()}/turns/${lastTurn()}/differences`),
    prefer: () => load(`${BASE}/${conversation()}/turns/${lastTurn()}/prefer`),
    scores: () => load(`${BASE}/${conversation()}/turns/${lastTurn()}/scores`, "Scoring every answer under every model…"),
    rename: ({ item }) => renameSheet(item),
    delete: ({ item }) => deleteSheet(item),
    "add-example": () => addExample(),
    "drop-example": ({ button }) => dropExample(button),
    "show-all": () => keepExamples([]),
    spread: () => document.getElementById("h-pg-spread").click(),
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-act]");
    if (!button || button.disabled) return;
    const place = button.closest("[data-turn]")?.dataset ?? {};
    const path = `${BASE}/${conversation()}/turns/${place.turn}/columns/${place.column}`;
    const isLatest = Boolean(button.closest(".h-pg-latest"));
    button.disabled = true; // of two presses in one breath the first counts
    try {
      await acts[button.dataset.act]({ ...place, path, isLatest, button, item: button.closest("[data-conversation]") });
    } catch (error) {
      showFault(error);
    } finally {
      setTimeout(() => (button.disabled = false), 400);
    }
  });

  // ------------------------------------------------------------------------------------------- forms in the sheet
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (form.id === "h-pg-draw") return drawExamples(event);
    const told = (name) => form.getAttribute(`data-${name}`); // a field called "dataset" hides form.dataset
    if (!told("post")) return;
    event.preventDefault();
    const body = Object.fromEntries(new FormData(form));
    for (const name of (told("numbers") ?? "").split(" ").filter(Boolean)) body[name] = Number(body[name]);
    const button = form.querySelector("button.h-primary");
    button.disabled = true;
    try {
      follow(await post(told("post"), body));
    } catch (error) {
      showFault(error);
    } finally {
      button.disabled = false;
    }
  });
  document.addEventListener("change", (event) => {
    const form = event.target.form;
    if (form?.hasAttribute("data-sheet")) load(`${form.getAttribute("data-sheet")}?${new URLSearchParams(new FormData(form))}`);
    if (event.target.name === "kind" && form?.hasAttribute("data-post")) {
      for (const option of form.querySelectorAll("option[data-kind]")) option.disabled = option.dataset.kind !== event.target.value;
    }
  });

  // ------------------------------------------------------------------------------------ other tokens in a token's place
  document.addEventListener("click", (event) => {
    const token = event.target.closest?.(".h-scored button");
    if (!token) return;
    const place = token.closest("[data-turn]").dataset;
    const path = `${BASE}/${conversation()}/turns/${place.turn}/columns/${place.column}/fork`;
    const panel = token.closest("section").querySelector(".h-alternatives");
    for (const other of token.parentElement.querySelectorAll("[aria-pressed]")) other.removeAttribute("aria-pressed");
    token.setAttribute("aria-pressed", "true");
    const number = [...token.parentElement.children].indexOf(token);
    const items = JSON.parse(token.dataset.alternatives).map((one) => alternative(one, token, number, path));
    const words = "keep" in token.dataset
      ? "Press one to carry the answer on from here with it, in a branch."
      : "The text before this token cannot be cut here: it stands within a character.";
    panel.replaceChildren(element("p", words, { className: "h-quiet h-small" }), ...items);
    panel.hidden = false;
    panel.scrollIntoView({ block: "nearest" });
  });
  const alternative = (one, token, number, path) => {
    const words = one.is_end ? "end of the answer" : JSON.stringify(one.text).slice(1, -1).replaceAll(" ", "␣");
    const canFork = "keep" in token.dataset && !one.is_end && !one.is_it && !one.text.includes("\ufffd");
    const item = element("button", undefined, { type: "button", className: "h-alternative", disabled: !canFork });
    item.append(element("code", words), element("span", one.is_it ? `${one.percent}, as written` : one.percent));
    item.addEventListener("click", async () => {
      item.disabled = true;
      try {
        follow(await post(path, { keep: Number(token.dataset.keep), token: one.text, num_tokens: number + 1 }));
      } catch (error) {
        item.disabled = false;
        showFault(error);
      }
    });
    return item;
  };

  // -------------------------------------------------------------------------------------------- the list of the past
  const refreshHistory = async () => {
    const search = document.getElementById("h-pg-search")?.value ?? "";
    const response = await ask(`${BASE}/history?${new URLSearchParams({ search, present: conversation() })}`);
    const template = element("template", undefined, { innerHTML: await response.text() });
    document.querySelector("#h-pg-past .h-pg-list")?.replaceChildren(...template.content.firstElementChild.childNodes);
  };
  let searching = 0;
  document.addEventListener("input", (event) => {
    if (event.target.id !== "h-pg-search") return;
    clearTimeout(searching);
    searching = setTimeout(() => refreshHistory().catch(showFault), 200);
  });
  const question = (title, parts, verb, kind, onYes) => {
    const form = element("form");
    const yes = element("button", verb, { className: `h-button ${kind}` });
    const no = element("button", "Cancel", { type: "button", className: "h-button" });
    no.dataset.close = "";
    const fault = element("div", undefined, { className: "h-fault", hidden: true });
    fault.setAttribute("role", "alert");
    const line = element("div", undefined, { className: "h-line" });
    line.append(yes, no);
    form.append(element("h2", title, { className: "h-h2" }), ...parts, fault, line);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      yes.disabled = true;
      try {
        await onYes();
        sheet.close();
      } catch (error) {
        showFault(error);
      }
      yes.disabled = false;
    });
    openSheet().replaceChildren(form);
  };
  const titleOf = (item) => item.querySelector(".h-clip").textContent;
  const renameSheet = (item) => {
    const field = element("input", undefined, { className: "h-input", value: titleOf(item), maxLength: 200, required: true });
    field.setAttribute("aria-label", "Title");
    question("Rename conversation", [field], "Save title", "h-primary", async () => {
      await post(`${BASE}/${item.dataset.conversation}/rename`, { title: field.value });
      await refreshHistory();
    });
    field.select();
  };
  const deleteSheet = (item) => {
    const words = element("p", `“${titleOf(item)}” leaves the list. Rows that were kept of it stay in their datasets.`);
    question("Delete conversation", [words], "Delete conversation", "h-danger", async () => {
      await ask(`${BASE}/${item.dataset.conversation}`, { method: "DELETE" });
      if (item.dataset.conversation === conversation()) location.assign("/playground");
      else await refreshHistory();
    });
  };

  // ---------------------------------------------------------------------------------------------------- the examples
  const box = () => document.querySelector("#h-pg-examples textarea, #h-pg-examples input");
  const kept = () => JSON.parse(box().value || "{}");
  const keepExamples = (counts = kept().counts ?? []) => {
    const pairs = [...document.querySelectorAll("#h-pg-pairs > li")].map((item) => ({
      prompt: item.querySelector("[data-example=prompt]").value,
      answer: item.querySelector("[data-example=answer]").value,
    }));
    box().value = JSON.stringify({ pairs, counts });
    box().dispatchEvent(new Event("input", { bubbles: true }));
  };
  const addExample = () => {
    const template = element("template");
    template.innerHTML = '<li><textarea class="h-input" rows="2" data-example="prompt" aria-label="Example prompt" placeholder="Prompt"></textarea>'
      + '<textarea class="h-input" rows="2" data-example="answer" aria-label="Example answer" placeholder="Answer"></textarea>'
      + '<button type="button" data-act="drop-example" aria-label="Remove example">Remove</button></li>';
    document.getElementById("h-pg-pairs").append(template.content);
    document.querySelector("#h-pg-pairs > li:last-child textarea").focus();
  };
  const dropExample = (button) => {
    button.closest("li").remove();
    keepExamples();
  };
  const drawExamples = async (event) => {
    event.preventDefault();
    const fault = event.target.closest(".h-pg-examples").querySelector("[role=alert]");
    fault.hidden = true;
    try {
      const response = await ask(`${BASE}/examples?${new URLSearchParams(new FormData(event.target))}`);
      document.getElementById("h-pg-pairs").insertAdjacentHTML("beforeend", await response.text());
      keepExamples();
    } catch (error) {
      fault.textContent = error.message;
      fault.hidden = false;
    }
  };
  document.addEventListener("input", (event) => {
    if (event.target.dataset?.example) keepExamples();
  });

  // ---------------------------------------------------------------------------------------------------- the composer
  // Two presses in one breath send one prompt: the second would overtake the first on its way to the server.
  let sentAt = -Infinity;
  const guard = (event) => {
    const isPress = event.type === "click" && event.target.closest?.("#h-pg-send, #h-pg-again");
    const isEnter = event.type === "keydown" && event.key === "Enter" && !event.shiftKey && event.target.closest?.("#h-pg-prompt");
    if ((!isPress && !isEnter) || event.isComposing) return;
    if (performance.now() - sentAt > 800) {
      sentAt = performance.now();
      return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  addEventListener("click", guard, true);
  addEventListener("keydown", guard, true);

  // What is being typed outlives a reload.
  const draft = () => `hone-draft-${conversation()}`;
  document.addEventListener("input", (event) => {
    if (event.target.closest?.("#h-pg-prompt")) sessionStorage.setItem(draft(), event.target.value);
  });
  const restoreDraft = () => {
    const area = document.querySelector("#h-pg-prompt textarea");
    const typed = sessionStorage.getItem(draft());
    if (!area || !typed || area.value) return;
    area.value = typed;
    area.dispatchEvent(new Event("input", { bubbles: true }));
  };
  let isOpened = false;

  return {
    begun(id) {
      const area = document.querySelector("#h-pg-prompt textarea");
      const written = draft();
      if (isOpened) setTimeout(() => area.value || sessionStorage.removeItem(written), 300); // a refused prompt stays
      if (id) history.replaceState(history.state, "", `/playground?c=${id}`);
      if (!isOpened) restoreDraft();
      if (document.getElementById("h-pg-search")?.value) refreshHistory().catch(showFault);
      isOpened = true;
      if (id) document.querySelector(".h-pg-main")?.scrollIntoView({ block: "end", behavior: "smooth" });
    },
    takeAct: () => JSON.stringify(act),
  };
})();
