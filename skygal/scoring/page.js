"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const form = document.getElementById("choose");
  if (!form) return;
  const gallery = document.getElementById("gallery"), count = document.getElementById("count");
  const more = document.getElementById("more"), large = document.getElementById("large");
  const SVG = "http://www.w3.org/2000/svg", STEP = 60;
  let chosen = [], shown = 0;

  // all words go in as text, never as markup
  function make(name, attributes, text) {
    const element = document.createElementNS(SVG, name);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    if (text !== undefined) {
      const title = document.createElementNS(SVG, "title");
      title.textContent = text;
      element.append(title);
    }
    return element;
  }

  function ellipse(part, name, words) {
    const [x, y, a, b, turn] = part;
    return make("ellipse", {cx: x, cy: y, rx: a, ry: b, transform: `rotate(${turn} ${x} ${y})`, class: name}, words);
  }

  function draw(item, state) {
    const svg = make("svg", {class: "cut", viewBox: `0 0 ${item.width} ${item.height}`, role: "img"});
    svg.setAttribute("aria-label", `${item.kind} ${item.id}`);
    const picture = state.model && item.model ? item.model : item.image;
    svg.append(make("image", {href: `data:image/png;base64,${picture}`, y: item.height - item.drawn,
                              width: item.drawn, height: item.drawn,
                              preserveAspectRatio: "none"}));
    if (state.truth) {
      if (item.outline) svg.append(make("path", {d: item.outline, class: "outline"}));
      for (const one of item.sources) svg.append(ellipse(one, one[5] ? "source own" : "source", `source ${one[6]}`));
      const r = item.width / 60;
      for (const [x, y, kind] of item.points)
        svg.append(make("path", {d: `M${x - r} ${y}h${2 * r}M${x} ${y - r}v${2 * r}`, class: "point"}, kind));
    }
    if (state.rows)
      for (const one of item.rows) svg.append(ellipse(one, `row ${one[5]}`, `row ${one[6]} (${one[5]})`));
    return svg;
  }

  function words(item) {
    const parts = [];
    if (item.flux !== null) parts.push(`${item.flux} mJy`);
    if (item.snr !== null) parts.push(`SNR ${item.snr}`);
    if (item.las) parts.push(`LAS ${item.las}"`);
    return parts.join(", ");
  }

  function label(item) {
    const sort = item.class && item.class !== "none" ? item.class : item.population;
    return `${item.kind} ${item.id}${sort ? ` (${sort})` : ""}`;
  }

  function card(item, state) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "card";
    button.append(draw(item, state));
    const name = document.createElement("span"), small = document.createElement("small");
    name.textContent = label(item);
    small.textContent = [words(item), item.why, data.names.length > 1 ? data.names[item.catalogue] : ""]
      .filter(Boolean).join("; ");
    button.append(name, small);
    button.addEventListener("click", () => {
      const place = large.querySelector("div");
      place.replaceChildren(draw(item, read()));
      const text = document.createElement("p");
      text.textContent = `${label(item)}: ${[words(item), item.why].filter(Boolean).join("; ")}`;
      place.append(text);
      large.showModal();
    });
    return button;
  }

  function read() {
    const fields = form.elements, state = {kinds: new Set()};
    for (const box of form.querySelectorAll("input[name=kind]")) if (box.checked) state.kinds.add(box.value);
    for (const name of ["catalogue", "class", "population", "sort"]) state[name] = fields[name] ? fields[name].value : "";
    for (const name of ["up", "truth", "rows", "model"]) state[name] = fields[name].checked;
    for (const name of ["flux", "snr", "las"])
      state[name] = [`${name}-low`, `${name}-high`].map(key => fields[key].value === "" ? null : Number(fields[key].value));
    return state;
  }

  function within(value, [low, high]) {
    if (low === null && high === null) return true;
    return value !== null && (low === null || value >= low) && (high === null || value <= high);
  }

  function update() {
    const state = read();
    chosen = data.items.filter(item => state.kinds.has(item.kind)
      && (state.catalogue === "" || item.catalogue === Number(state.catalogue))
      && (state.class === "" || (item.class || "none") === state.class)
      && (state.population === "" || (item.population || "unknown") === state.population)
      && within(item.flux, state.flux) && within(item.snr, state.snr) && within(item.las, state.las));
    const key = state.sort, sign = state.up ? 1 : -1;
    chosen.sort((a, b) => typeof a[key] === "string" || typeof b[key] === "string"
      ? String(a[key]).localeCompare(String(b[key])) : sign * ((a[key] ?? -1) - (b[key] ?? -1)));
    count.textContent = `${chosen.length} of ${data.items.length} cutouts`;
    gallery.replaceChildren();
    shown = 0;
    extend();
  }

  function extend() {
    const state = read();
    const next = chosen.slice(shown, shown + STEP);
    shown += next.length;
    gallery.append(...next.map(item => card(item, state)));
  }

  new IntersectionObserver(entries => {
    if (entries.some(entry => entry.isIntersecting) && shown < chosen.length) extend();
  }, {rootMargin: "800px"}).observe(more);
  form.addEventListener("input", update);
  form.addEventListener("submit", event => event.preventDefault());
  large.addEventListener("click", event => { if (event.target === large) large.close(); });
  update();
})();
