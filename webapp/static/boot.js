// Runs before the first paint: light or dark as chosen, else as the system says.
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (localStorage.getItem("hone-theme") || (system.matches ? "dark" : "light")) === "dark";
  const apply = () => {
    root.classList.toggle("dark", isDark());
    if (document.body && document.body.classList.contains("dark") !== isDark()) {
      document.body.classList.toggle("dark", isDark());
    }
  };
  apply();
  system.addEventListener("change", apply);
  addEventListener("storage", apply);
  // Gradio sets the class of <body> by the system alone; the choice made here wins.
  addEventListener("DOMContentLoaded", () => {
    apply();
    new MutationObserver(apply).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  });
  window.honeToggleTheme = () => {
    const chosen = isDark() ? "light" : "dark";
    if ((chosen === "dark") === system.matches) localStorage.removeItem("hone-theme");
    else localStorage.setItem("hone-theme", chosen);
    apply();
  };
})();
