"use strict";
// One player for all clips: starting one stops the other, and the browser's limit of media elements is never met.
(() => {
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const one = (selector, inside = document) => inside.querySelector(selector);
  const player = new Audio();
  let current = null; // the clip (an article) in the player

  const seconds = (clip) => Number(one(".time", clip).dataset.seconds);
  function show(clip, at) {
    const seek = one(".seek", clip), length = seconds(clip);
    seek.style.setProperty("--at", Math.min(at / length, 1));
    seek.setAttribute("aria-valuenow", at.toFixed(2));
    seek.setAttribute("aria-valuetext", `${at.toFixed(1)} s`);
    one(".time", clip).textContent = at > 0 ? `${at.toFixed(1)} / ${length.toFixed(1)} s` : `${length.toFixed(1)} s`;
  }
  function mark(clip, playing) {
    clip.classList.toggle("playing", playing);
    one(".play", clip).setAttribute("aria-pressed", playing);
  }
  function play(clip, at = null) {
    if (current !== clip) {
      stop();
      current = clip;
      player.src = one("audio", clip).src;
      player.currentTime = at ?? 0;
    } else if (at !== null) {
      player.currentTime = at;
    }
    player.play().catch((error) => { if (error.name !== "AbortError") stop(); });
  }
  function stop() {
    player.pause();
    if (!current) return;
    mark(current, false);
    show(current, 0);
    current = null;
  }
  function follow() {
    if (!current || player.paused) return;
    show(current, player.currentTime);
    requestAnimationFrame(follow);
  }
  player.addEventListener("play", () => { mark(current, true); follow(); });
  player.addEventListener("pause", () => { if (current) mark(current, false); });
  player.addEventListener("ended", stop);
  const toggle = (clip) => (current === clip && !player.paused ? player.pause() : play(clip));

  for (const clip of all(".clip")) {
    const button = one(".play", clip), seek = one(".seek", clip);
    if (!button) continue;
    button.addEventListener("click", () => toggle(clip));
    seek.addEventListener("click", (event) => {
      const box = seek.getBoundingClientRect();
      play(clip, (seconds(clip) * (event.clientX - box.left)) / box.width);
    });
    seek.addEventListener("keydown", (event) => {
      const here = current === clip ? player.currentTime : 0;
      const to = { ArrowRight: here + 0.5, ArrowLeft: here - 0.5, Home: 0, End: seconds(clip) - 0.5 }[event.key];
      if (event.key === " " || event.key === "Enter") toggle(clip);
      else if (to !== undefined) play(clip, Math.max(0, Math.min(to, seconds(clip) - 0.05)));
      else return;
      event.preventDefault();
    });
  }

  // Sorting: the better end first, then the other one; rows without a number stay last.
  for (const button of all("thead button")) {
    button.addEventListener("click", () => {
      const head = button.parentElement, table = head.closest("table"), column = head.cellIndex;
      const first = button.dataset.better === "↑" ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      for (const th of all("thead th", table)) th.setAttribute("aria-sort", th === head ? order : "none");
      const sign = order === "ascending" ? 1 : -1;
      const value = (row) => (row.cells[column].dataset.sort === undefined ? NaN : Number(row.cells[column].dataset.sort));
      const words = (row) => row.cells[column].textContent;
      const numeric = all("tbody tr", table).some((row) => !Number.isNaN(value(row)));
      const compare = (a, b) => {
        if (!numeric) return sign * words(a).localeCompare(words(b));
        const [x, y] = [value(a), value(b)];
        return Number.isNaN(x) - Number.isNaN(y) || sign * (x - y) || 0;
      };
      one("tbody", table).append(...all("tbody tr", table).sort(compare));
    });
  }

  // Filters, kept in the address so that a view can be linked to: #task=melody&prompt=1&method=ditto,freedom
  const boxes = all("input[name=method]"), task = one("#task"), prompt = one("#prompt");
  function filter() {
    const methods = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const everything = methods.size === boxes.length;
    let count = 0;
    for (const section of all(".task")) section.hidden = task.value !== "" && section.dataset.task !== task.value;
    for (const row of all(".prompt")) row.hidden = prompt.value !== "" && row.dataset.prompt !== prompt.value;
    for (const part of all(".prompt [data-method]")) part.hidden = !methods.has(part.dataset.method);
    for (const path of all("svg .loss")) {
      const shown = all(".key-line [data-method]", path.closest(".clip")).filter((key) => !key.hidden);
      path.style.display = shown.some((key) => path.classList.contains(`m-${key.dataset.method}`)) ? "" : "none";
    }
    for (const clip of all(".task:not([hidden]) .prompt:not([hidden]) .clip[data-method]")) count += clip.hidden ? 0 : 1;
    one("#count").textContent = `${count} clips`;
    one("#chosen").textContent = everything ? "" : `${methods.size} of ${boxes.length}`;
    if (current && !current.checkVisibility()) stop();
    const view = new URLSearchParams();
    if (task.value) view.set("task", task.value);
    if (prompt.value) view.set("prompt", prompt.value);
    if (!everything) view.set("method", [...methods].join(","));
    history.replaceState(null, "", `#${view}`.replaceAll("%2C", ","));
  }
  function restore() {
    const view = new URLSearchParams(location.hash.slice(1));
    if (!["task", "prompt", "method"].some((name) => view.has(name))) return filter();
    task.value = view.get("task") ?? "";
    prompt.value = view.get("prompt") ?? "";
    const asked = view.get("method")?.split(",");
    for (const box of boxes) box.checked = !asked || asked.includes(box.value);
    filter();
  }
  for (const control of [task, prompt, ...boxes]) control.addEventListener("change", filter);
  const set = (checked) => { for (const box of boxes) box.checked = checked; filter(); };
  one("#every").addEventListener("click", () => set(true));
  one("#none").addEventListener("click", () => set(false));
  one("#repeat").addEventListener("change", (event) => { player.loop = event.target.checked; });
  document.addEventListener("click", (event) => { if (!event.target.closest(".menu")) one(".menu").open = false; });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") { one(".menu").open = false; stop(); } });
  addEventListener("hashchange", restore);

  document.documentElement.classList.add("js");
  one(".filter").hidden = false;
  restore();
})();
