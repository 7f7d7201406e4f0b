// Rows, wherever they are drawn: long texts under a lid that opens.
document.addEventListener("click", (event) => {
  const lid = event.target.closest?.("[data-unfold]");
  if (!lid) return;
  const isOpen = lid.parentElement.classList.toggle("h-open");
  lid.textContent = isOpen ? "Show less" : "Show more";
  lid.setAttribute("aria-expanded", String(isOpen));
});
