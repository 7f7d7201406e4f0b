// The bar: the state of the workers, the person's name, light and dark.
addEventListener("DOMContentLoaded", () => {
  const status = document.getElementById("h-status");
  const refresh = async () => {
    if (document.hidden) return;
    const answer = await fetch("/ui/status").catch(() => null);
    if (answer?.ok) status.innerHTML = await answer.text();
  };
  setInterval(refresh, 5000);
  document.addEventListener("visibilitychange", refresh);

  document.querySelector(".h-nav [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
  document.getElementById("h-theme").addEventListener("click", () => window.honeToggleTheme());

  const person = document.getElementById("h-person");
  const dialog = document.getElementById("h-name-dialog");
  const form = dialog.querySelector("form");
  const fault = dialog.querySelector("[role=alert]");
  person.addEventListener("click", () => {
    form.elements.name.value = person.textContent;
    fault.hidden = true;
    dialog.showModal();
    form.elements.name.select();
  });
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = await fetch("/ui/name", { method: "POST", body: new URLSearchParams(new FormData(form)) });
    const words = await answer.text();
    if (!answer.ok) {
      fault.textContent = words;
      fault.hidden = false;
      return;
    }
    person.textContent = words;
    dialog.close();
  });
});
