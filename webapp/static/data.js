// The drop zone: one file, sent as it is to the streaming route, with how far and how fast it goes.
const units = ["B", "kB", "MB", "GB"];
const size = (bytes) => {
  const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), units.length - 1);
  return `${(bytes / 1000 ** power).toLocaleString("en", { maximumSignificantDigits: 3 })}\u00a0${units[power]}`;
};
const span = (seconds) => (seconds < 90 ? `${Math.ceil(seconds)}\u00a0s` : `${Math.ceil(seconds / 60)}\u00a0min`);

export function start(root) {
  const zone = root.querySelector(".h-drop");
  if (!zone || zone.dataset.ready) return;
  zone.dataset.ready = "yes";
  const input = zone.querySelector("input[type=file]");
  const bar = zone.querySelector(".h-progress > span");
  const words = zone.querySelector("[data-words]");
  const fault = zone.querySelector("[role=alert]");
  let request = null;

  const show = (state) => (zone.dataset.state = state);
  const refuse = (message, advice) => {
    show("idle");
    fault.replaceChildren(...[message, advice].filter(Boolean).map((text) => {
      const line = document.createElement("p");
      line.textContent = text;
      return line;
    }));
    fault.hidden = false;
  };

  const send = (files) => {
    if (request) return;
    if (files.length > 1) return refuse(`${files.length} files were dropped.`, "Drop one file at a time, or a .zip of one file.");
    const [file] = files;
    fault.hidden = true;
    show("sending");
    const begun = performance.now();
    request = new XMLHttpRequest();
    request.open("POST", `/api/uploads?name=${encodeURIComponent(file.name || "unnamed")}`);
    request.upload.addEventListener("progress", (event) => {
      const seconds = (performance.now() - begun) / 1000;
      const speed = event.loaded / Math.max(seconds, 0.001);
      bar.style.width = `${(100 * event.loaded) / Math.max(event.total, 1)}%`;
      bar.parentElement.setAttribute("aria-valuenow", Math.round((100 * event.loaded) / Math.max(event.total, 1)));
      const left = seconds > 1 ? ` · ${span((event.total - event.loaded) / speed)} left` : "";
      words.textContent = `${file.name}: ${size(event.loaded)} of ${size(event.total)} · ${size(speed)}/s${left}`;
    });
    request.addEventListener("load", () => {
      const answer = JSON.parse(request.responseText || "{}");
      const status = request.status;
      request = null;
      if (status === 201) return location.assign(`/data?upload=${answer.id}`);
      refuse(answer.error ?? `The server answered ${status}.`, answer.advice);
    });
    request.addEventListener("error", () => {
      request = null;
      refuse("The upload broke off before the file had arrived.", "Check that Hone is running and that there is room on its disk, then try again.");
    });
    request.addEventListener("abort", () => {
      request = null;
      show("idle");
    });
    request.send(file);
  };

  const sendChosen = () => {
    if (input.files.length) send(input.files);
    input.value = "";
  };
  input.addEventListener("change", sendChosen);
  sendChosen(); // a quick person has chosen before this script came
  zone.querySelector("[data-cancel]").addEventListener("click", () => request?.abort());
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("h-over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("h-over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("h-over");
    if (event.dataTransfer.files.length) send(event.dataTransfer.files);
  });
}
