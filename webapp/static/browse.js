// The rows browser: a list of any length under one scrollbar. Rows are fetched by their place among those that the
// address asks for, drawn near what is seen, and taken away again. Where all rows together would be higher than a
// browser can scroll, the scrollbar stands for shares of the list, while wheel, keys and fingers still move by pixels.
const PAGE = 20;
const MAX_SPACE = 6_000_000;
const KEPT_PAGES = 60;
const grouped = (count) => String(count).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");

export function watch(root) {
  const begin = () => {
    const box = root.querySelector(".h-browse[data-version]");
    if (box && !box.dataset.ready) start(box);
  };
  new MutationObserver(begin).observe(root, { childList: true, subtree: true });
  begin();
}

function start(box) {
  box.dataset.ready = "yes";
  const $ = (selector) => box.querySelector(selector);
  const [list, space, block] = [$(".h-scroll"), $(".h-scroll-space"), $(".h-scroll-rows")];
  const [form, filters, note, count] = [$(".h-browse-bar"), $(".h-filters-form"), $("[data-note]"), $("[data-count]")];
  const base = `/api/datasets/${box.dataset.version}/browse`;
  let matching = 0;
  let pages = new Map(); // page number → {rows, numbers} or a promise of them
  let [first, last, top, lastTop] = [0, 0, 0, 0]; // places drawn [first, last), where they begin, where we looked
  let query = new URLSearchParams();
  let run = 0; // raised by every new question: what answers an old one is dropped
  let idle = 0;

  // ------------------------------------------------------------------------------------------------------ the address
  const read = () => {
    query = new URLSearchParams(location.search);
    for (const name of ["id", "known", "show"]) query.delete(name);
  };
  const write = (row) => {
    const address = new URLSearchParams({ id: box.dataset.version });
    for (const [name, value] of query) if (name !== "row" && value) address.append(name, value);
    if (row > 1) address.set("row", row);
    history.replaceState(null, "", `/dataset?${address}`);
  };
  const asked = () => [...query].filter(([name, value]) => value && name !== "row");

  // ------------------------------------------------------------------------------------------------------------- rows
  const ask = async (parameters) => {
    const address = new URLSearchParams(asked());
    for (const [name, value] of Object.entries(parameters)) address.set(name, value);
    const answer = await fetch(`${base}?${address}`);
    const told = await answer.json().catch(() => ({ error: `The server answered ${answer.status}.` }));
    if (!answer.ok) throw new Error([told.error, told.advice].filter(Boolean).join(" ") || "The rows cannot be read.");
    return told;
  };
  const page = (number) => {
    if (!pages.has(number)) {
      const mine = run;
      const coming = (async () => {
        const [numbers, rows] = [[], []];
        const end = Math.min(matching, (number + 1) * PAGE);
        while (number * PAGE + rows.length < end) { // the server ends a page of huge rows early
          const at = number * PAGE + rows.length;
          const told = await ask({ first: at, limit: end - at });
          if (!told.rows?.length) break;
          rows.push(...told.rows);
          numbers.push(...told.numbers);
        }
        if (mine !== run) return null;
        const known = { numbers, rows };
        pages.set(number, known);
        if (pages.size > KEPT_PAGES) for (const old of pages.keys()) if (old !== number) { pages.delete(old); break; }
        return known;
      })();
      pages.set(number, coming);
      coming.catch((error) => { pages.delete(number); if (mine === run) say(error.message); });
    }
    return pages.get(number);
  };
  const drawn = (place) => {
    const known = page(Math.floor(place / PAGE));
    if (known instanceof Promise) {
      const mine = run;
      list.toggleAttribute("data-waiting", true);
      known.then((rows) => rows && mine === run && place >= first - PAGE && place <= last + PAGE && fill(), () => {});
      return null;
    }
    const markup = known.rows[place % PAGE];
    if (!markup) return null;
    const shell = document.createElement("div");
    shell.innerHTML = markup;
    const row = shell.firstElementChild;
    row.dataset.place = place;
    if (row.dataset.row === query.get("row")) row.classList.add("h-row-here");
    return row;
  };

  // ---------------------------------------------------------------------------------------------------------- drawing
  const height = () => list.clientHeight;
  const bottom = () => top + block.offsetHeight;
  const move = (to) => { top = to; block.style.transform = `translateY(${top}px)`; };
  const scrollTo = (to) => { list.scrollTop = to; lastTop = list.scrollTop; };
  const farthest = () => space.offsetHeight - height();

  // Draws what is near, takes away what is far, and keeps both ends of the list at the ends of the scrollbar.
  const fill = () => {
    if (!matching) return;
    list.removeAttribute("data-waiting");
    const [view, reach] = [list.scrollTop, height()];
    while (last < matching && bottom() < view + 2 * reach) {
      const row = drawn(last);
      if (!row) break;
      block.append(row);
      last += 1;
    }
    while (first > 0 && top > view - reach) {
      const row = drawn(first - 1);
      if (!row) break;
      block.prepend(row);
      first -= 1;
      move(top - row.offsetHeight);
    }
    while (block.childElementCount > 1 && top + block.firstElementChild.offsetHeight < view - 3 * reach) {
      const gone = block.firstElementChild.offsetHeight;
      block.firstElementChild.remove();
      first += 1;
      move(top + gone);
    }
    while (block.childElementCount > 1 && bottom() - block.lastElementChild.offsetHeight > view + 4 * reach) {
      block.lastElementChild.remove();
      last -= 1;
    }
    if (first === 0 && last === matching) { // all of it is there: the scrollbar is exact
      const seen = list.scrollTop - top;
      space.style.height = `${block.offsetHeight}px`;
      move(0);
      scrollTo(seen);
    } else if (first === 0 && top > view) {
      move(0);
      scrollTo(0);
    } else if (last === matching && bottom() < view + reach) {
      const lift = farthest() - view;
      move(space.offsetHeight - block.offsetHeight);
      if (lift) scrollTo(farthest());
    } else if ((view <= 0 && first > 0) || (view >= farthest() && last < matching)) settle();
  };

  // Where the scrollbar stands for a share of the list, it is put where the rows in view belong; they do not move.
  const settle = () => {
    if (!block.childElementCount) return;
    const [view, reach] = [list.scrollTop, height()];
    if (!(first === 0 && last === matching)) {
      for (const row of block.children) {
        const [begin, size, place] = [top + row.offsetTop - view, row.offsetHeight, Number(row.dataset.place)];
        if (begin + size < 0 || begin > reach) continue;
        const at = (place - begin / size) / matching / (1 / reach - 1 / (size * matching));
        if (at < begin - 1 || at > begin + size + 1) continue;
        const share = Math.min(1, Math.max(0, at / reach));
        const to = share * farthest();
        move(top + to - view);
        scrollTo(to);
        break;
      }
    }
    const row = rowAt(0);
    if (row) write(Number(row.dataset.place) === 0 ? 0 : row.dataset.row);
  };
  const rowAt = (y) => [...block.children].find((row) => top + row.offsetTop + row.offsetHeight - list.scrollTop > y + 4);

  // Shows the rows from a place on, with the share `inside` of the first one at `y` pixels below the list's top.
  const show = async (place, inside = 0, y = 0, scroll = true) => {
    const mine = run;
    list.toggleAttribute("data-waiting", true);
    await page(Math.floor(place / PAGE));
    if (mine !== run || (!scroll && wanted !== place)) return;
    block.replaceChildren();
    first = last = place;
    const row = drawn(place);
    if (!row) return;
    block.append(row);
    last += 1;
    if (scroll) scrollTo((place / Math.max(1, matching)) * farthest());
    move(list.scrollTop + y - inside * row.offsetHeight);
    fill();
  };
  let wanted = -1;
  const jump = () => {
    const share = Math.min(1, Math.max(0, list.scrollTop / Math.max(1, farthest())));
    const place = Math.min(matching - 1, Math.floor(share * matching));
    wanted = place;
    show(place, share * matching - place, share * height(), false).catch(() => {});
  };
  list.addEventListener("scroll", () => {
    const view = list.scrollTop;
    if (view === lastTop || !matching) return;
    const isFar = Math.abs(view - lastTop) > 2 * height() || bottom() < view || top > view + height();
    lastTop = view;
    isFar && !(first === 0 && last === matching) ? jump() : fill();
    clearTimeout(idle);
    idle = setTimeout(settle, 160);
  });
  new ResizeObserver(() => fill()).observe(list);

  // --------------------------------------------------------------------------------------------------------- question
  const say = (words) => {
    note.hidden = !words;
    note.textContent = words ?? "";
  };
  const tell = (total) => {
    const noun = total === 1 ? "row" : "rows";
    const isAll = asked().every(([name]) => name === "sort");
    count.textContent = isAll ? `${grouped(total)} ${noun}` : `${grouped(matching)} of ${grouped(total)} ${noun}`;
    $("[data-clear]").hidden = isAll;
  };
  const search = async (row) => {
    const mine = ++run;
    pages = new Map();
    say("");
    list.toggleAttribute("data-waiting", true);
    let told;
    try {
      for (;;) {
        told = await ask({ limit: PAGE, ...(row ? { row } : {}) });
        if (mine !== run) return;
        if (told.building === undefined) break;
        count.textContent = `Reading all rows once to make them searchable: ${Math.floor(told.building * 100)} %`;
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
    } catch (error) {
      if (mine !== run) return;
      list.removeAttribute("data-waiting");
      block.replaceChildren();
      matching = 0;
      space.style.height = "0";
      count.textContent = "";
      $("[data-clear]").hidden = false;
      return say(error.message);
    }
    matching = told.matching;
    tell(told.total);
    block.replaceChildren();
    if (!matching) {
      list.removeAttribute("data-waiting");
      move(0);
      space.style.height = "auto";
      block.innerHTML = '<div class="h-scroll-empty"><p>No row is like this.</p></div>';
      return;
    }
    if (told.is_missing) say(`Row ${grouped(row)} is not among these rows; the next one is shown.`);
    space.style.height = `${Math.max(height(), Math.min(MAX_SPACE, matching * 170))}px`;
    await show(told.first);
    settle();
  };

  // ------------------------------------------------------------------------------------------------------------- form
  const openFilters = async (isOpen) => {
    filters.hidden = !isOpen;
    $("[data-filters]").setAttribute("aria-expanded", isOpen);
    if (!isOpen || filters.dataset.ready === "yes") return;
    const answer = await fetch(`${base}/filters?${new URLSearchParams(asked())}`).catch(() => null);
    if (!answer?.ok) return void (filters.innerHTML = "<p>The filters cannot be read. Load the page again.</p>");
    const isReady = answer.headers.get("x-index") === "ready";
    filters.innerHTML = await answer.text();
    filters.dataset.ready = isReady ? "yes" : "";
    if (isReady) return;
    const share = Math.floor(Number(answer.headers.get("x-index-share")) * 100);
    const line = document.createElement("p");
    line.className = "h-quiet h-small";
    line.textContent = `All rows are being read once, to be searched and filtered: ${share} %. What is chosen is shown as soon as it can be.`;
    filters.append(line);
    setTimeout(() => !filters.contains(document.activeElement) && openFilters(!filters.hidden), 1500);
  };
  const take = () => {
    const next = new URLSearchParams();
    const names = new Set([...form.elements].map((field) => field.name).filter(Boolean));
    for (const [name, value] of query) if (!names.has(name) && name !== "row") next.append(name, value);
    for (const [name, value] of new FormData(form)) if (value.trim()) next.append(name, value.trim());
    if (String(next) === String(new URLSearchParams(asked()))) return;
    query = next;
    write(0);
    search();
  };
  let typing = 0;
  form.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(typing); take(); });
  form.addEventListener("input", (event) => { clearTimeout(typing); typing = setTimeout(take, event.target.tagName === "SELECT" ? 0 : 250); });
  $("[data-filters]").addEventListener("click", () => openFilters(filters.hidden));
  $("[data-clear]").addEventListener("click", () => {
    query = new URLSearchParams();
    form.elements.q.value = "";
    form.elements.sort.value = "";
    filters.dataset.ready = "";
    openFilters(!filters.hidden);
    write(0);
    search();
  });
  $("[data-go]").addEventListener("submit", (event) => {
    event.preventDefault();
    const row = Math.min(Number(box.dataset.total), Math.max(1, Math.floor(Number(event.target.elements.go.value))));
    if (!row) return;
    query.set("row", row);
    search(row);
  });
  $("[data-mark]")?.addEventListener("change", (event) => {
    list.toggleAttribute("data-unmarked", !event.target.checked);
    try { localStorage.setItem("hone-mark-differences", event.target.checked ? "yes" : "no"); } catch { /* a private window keeps nothing */ }
  });
  if ($("[data-mark]") && localStorage.getItem("hone-mark-differences") === "no") $("[data-mark]").click();

  // ------------------------------------------------------------------------------------------- within a row, and keys
  list.addEventListener("click", async (event) => {
    if (event.target.closest("[data-unfold]")) return requestAnimationFrame(fill); // `rows.js` opens it after this
    const whole = event.target.closest("[data-whole]");
    if (!whole) return;
    const row = whole.closest(".h-row");
    whole.disabled = true;
    const answer = await fetch(`${base}/rows/${row.dataset.row}`).catch(() => null);
    if (!answer?.ok) return say("The row cannot be read. Load the page again.");
    const shell = document.createElement("div");
    shell.innerHTML = await answer.text();
    const drawn = shell.firstElementChild;
    drawn.dataset.place = row.dataset.place;
    row.replaceWith(drawn);
    for (const fold of drawn.querySelectorAll(".h-fold [data-unfold]")) fold.click();
  });
  list.addEventListener("toggle", () => fill(), true);
  document.addEventListener("keydown", (event) => {
    if (!box.isConnected || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea, dialog")) return;
    if (event.key === "/") { event.preventDefault(); return form.elements.q.focus(); }
    if (event.key !== "j" && event.key !== "k") return;
    event.preventDefault();
    const here = rowAt(0);
    if (!here) return;
    const begins = top + here.offsetTop - list.scrollTop;
    const next = event.key === "j" ? here.nextElementSibling : begins < -4 ? here : here.previousElementSibling;
    if (next) list.scrollTop = top + next.offsetTop;
  });

  read();
  form.elements.q.value = query.get("q") ?? "";
  form.elements.sort.value = query.get("sort") ?? "";
  if (asked().some(([name]) => /^(is|from|to)\.|^(min|max)_|^(system|tools|reasoning|label)$/.test(name))) openFilters(true);
  search(Number(query.get("row")) || 0);
}
