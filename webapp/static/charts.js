// Shows the values of a chart under the pointer. Charts are redrawn while a job runs, so one listener serves them all.
(() => {
  const readable = (value) =>
    Math.abs(value) >= 1e-3 || value === 0 ? String(+value.toPrecision(4)) : value.toExponential(2);
  const parts = (area) => [area.querySelector(".h-cursor"), area.querySelector(".h-readout")];

  const show = (area, clientX) => {
    const box = area.getBoundingClientRect();
    const wanted = ((clientX - box.left) / box.width) * 100;
    const [cursor, readout] = parts(area);
    const lines = [];
    let place = null;
    for (const curve of area.querySelectorAll(".h-curve")) {
      const xs = Array.from(curve.points, (point) => point.x);
      const nearest = xs.reduce((best, x, index) => (Math.abs(x - wanted) < Math.abs(xs[best] - wanted) ? index : best), 0);
      const [step, value] = curve.dataset.values.split(" ")[nearest].split(":");
      if (place === null) {
        place = xs[nearest];
        lines.push(`step ${step}`);
      }
      lines.push(`${curve.dataset.name} ${readable(parseFloat(value))}`);
    }
    readout.textContent = lines.join("\n");
    cursor.hidden = readout.hidden = false;
    cursor.style.left = `${place}%`;
    readout.style[place > 50 ? "right" : "left"] = `calc(${place > 50 ? 100 - place : place}% + 8px)`;
    readout.style[place > 50 ? "left" : "right"] = "auto";
  };

  addEventListener("pointermove", (event) => {
    const over = event.target.closest?.(".h-area");
    for (const area of document.querySelectorAll(".h-area")) {
      if (area !== over) for (const part of parts(area)) part.hidden = true;
    }
    if (over) show(over, event.clientX);
  });
})();
