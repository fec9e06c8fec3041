// Which curves are seen: a click on a name anywhere picks it out of the others, another click lets it go; with shift it is
// hidden. Families and studies are filtered in the panel. All figures and tables follow.
(function () {
  "use strict";
  const root = document.documentElement;
  const panel = document.getElementById("choose");
  const opener = document.getElementById("choose-open");
  const curves = new Map();
  for (const run of page.data.runs) {
    for (const curve of Object.values(run.curves)) {
      if (!curves.has(curve.label)) { curves.set(curve.label, curve); }
    }
  }
  const families = [...new Set([...curves.values()].map((c) => c.family))];

  function toggled(list, name) {
    return list.includes(name) ? list.filter((other) => other !== name) : [...list, name];
  }

  function pick(label, hide) {
    page.change(function (state) {
      if (hide) {
        state.hide = toggled(state.hide, label);
        state.only = state.only.filter((other) => other !== label);
      } else if (state.hide.includes(label)) {
        state.hide = state.hide.filter((other) => other !== label);
      } else {
        state.only = toggled(state.only, label);
      }
    });
  }
  page.pick = pick;

  // Legends of figures: buttons for pointers and keys.
  const keys = [...document.querySelectorAll("svg .key[data-c]")];
  for (const key of keys.filter((k) => !k.closest(".tips"))) {
    key.setAttribute("tabindex", "0");
    key.setAttribute("role", "button");
    key.setAttribute("aria-label", page.curve(key).label);
  }
  document.addEventListener("click", function (event) {
    const key = event.target.closest("svg .key[data-c], [data-pick-curve]");
    if (!key) { return; }
    pick(key.dataset.pickCurve || page.curve(key).label, event.shiftKey);
  });
  document.addEventListener("keydown", function (event) {
    const key = event.target.closest && event.target.closest("svg .key[data-c]");
    if (key && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      pick(page.curve(key).label, event.shiftKey);
    }
    if (event.key === "Escape" && page.state.only.length) {
      page.change((state) => { state.only = []; });
    }
  });

  // The panel.
  const search = page.make("input", { type: "search", placeholder: "Find a scheme", "aria-label": "Find a scheme" });
  const list = page.make("div", { class: "chips", role: "group", "aria-label": "Schemes" });
  const chips = [...curves.values()].map(function (curve) {
    const chip = page.make("button", { type: "button", class: "chip", "data-pick-curve": curve.label }, curve.label);
    const hide = page.make("button", { type: "button", class: "hide", title: "Hide " + curve.label }, "−");
    hide.setAttribute("aria-label", "Hide " + curve.label);
    hide.addEventListener("click", () => pick(curve.label, true));
    const both = page.make("span", { class: "pair" }, chip, hide);
    list.append(both);
    return { curve, chip, hide, both };
  });
  search.addEventListener("input", function () {
    const wanted = search.value.trim().toLowerCase();
    for (const { curve, both } of chips) {
      both.hidden = !(curve.label + " " + curve.family + " " + curve.title).toLowerCase().includes(wanted);
    }
  });
  function group(name, label, values, key) {
    const box = page.make("div", { class: "chips", role: "group", "aria-label": label }, page.make("span", {}, label));
    const buttons = values.map(function ([value, words]) {
      const button = page.make("button", { type: "button", class: "chip", "data-filter": value }, words);
      button.addEventListener("click", () => page.change((state) => { state[key] = toggled(state[key], value); }));
      box.append(button);
      return button;
    });
    return { box, buttons, key };
  }
  const studies = [...document.querySelectorAll("section[data-study]")].map((s) => [s.id, s.dataset.study]);
  const filters = [
    group("family", "Families", families.map((f) => [f, f]), "family"),
    group("study", "Studies", studies, "study"),
  ];
  const reset = page.make("button", { type: "button", id: "choose-reset" }, "Show all");
  reset.addEventListener("click", () => page.change(function (state) {
    for (const key of ["only", "hide", "family", "study"]) { state[key] = []; }
    search.value = "";
    search.dispatchEvent(new Event("input"));
  }));
  const hint = "Click a name, here or in a legend, to pick it out of the others; shift-click hides it. Esc lets go.";
  panel.append(
    page.make("div", { class: "row" }, search, reset, page.make("span", { id: "reference-slot" })),
    ...filters.filter((f) => f.buttons.length > 1).map((f) => f.box),
    list,
    page.make("p", { class: "hint" }, hint),
  );
  opener.addEventListener("click", function () {
    panel.hidden = !panel.hidden;
    opener.setAttribute("aria-expanded", String(!panel.hidden));
    if (!panel.hidden) { search.focus(); }
  });

  function hidden(state, curve) {
    return state.hide.includes(curve.label) || (state.family.length > 0 && !state.family.includes(curve.family));
  }

  const parts = [...document.querySelectorAll("[data-run] [data-c]")];
  page.onChange(function (state) {
    root.classList.toggle("choosing", state.only.length > 0);
    for (const part of parts) {
      const curve = page.curve(part);
      const at = state.only.indexOf(curve.label);
      part.classList.toggle("on", at >= 0);
      part.classList.toggle("off", hidden(state, curve));
      if (at >= 0) { part.dataset.pick = at % 8; } else { delete part.dataset.pick; }
      if (part.getAttribute("role") === "button") { part.setAttribute("aria-pressed", String(at >= 0)); }
    }
    for (const { curve, chip, hide } of chips) {
      const at = state.only.indexOf(curve.label);
      chip.setAttribute("aria-pressed", String(at >= 0));
      chip.classList.toggle("gone", hidden(state, curve));
      if (at >= 0) { chip.dataset.pick = at % 8; } else { delete chip.dataset.pick; }
      hide.setAttribute("aria-pressed", String(state.hide.includes(curve.label)));
    }
    for (const { buttons, key } of filters) {
      for (const button of buttons) {
        button.setAttribute("aria-pressed", String(state[key].includes(button.dataset.filter)));
      }
    }
    for (const section of document.querySelectorAll("section[data-study]")) {
      section.hidden = state.study.length > 0 && !state.study.includes(section.id);
    }
    const chosen = [state.only, state.hide, state.family, state.study].some((all) => all.length > 0);
    reset.disabled = !chosen;
    opener.textContent = state.only.length ? "Schemes: " + state.only.length + " picked" : "Schemes";
    names();
  });

  // Where many curves are grey, a picked one comes to the front and gets its name at its end.
  function names() {
    for (const old of document.querySelectorAll("svg text.picked")) { old.remove(); }
    for (const svg of document.querySelectorAll("svg")) {
      const fixed = [...svg.querySelectorAll("g.named > text")];
      if (!fixed.length) { continue; }
      const taken = fixed.map((text) => Number(text.getAttribute("y")));
      const tips = svg.querySelector(".tips");
      for (const line of svg.querySelectorAll("g.on[data-c]:not(.named):not(.off)")) {
        if (line.parentNode === tips) { continue; }
        const spots = tips.querySelectorAll("[data-c='" + line.dataset.c + "'] rect");
        if (!spots.length) { continue; }
        svg.insertBefore(line, tips);
        const spot = spots[spots.length - 1];
        let y = Number(spot.getAttribute("y")) + Number(spot.getAttribute("height")) / 2 + 4;
        while (taken.some((other) => Math.abs(other - y) < 12)) { y += 1; }
        taken.push(y);
        const text = page.make("text", { x: fixed[0].getAttribute("x"), y, "font-size": 11, class: "picked" });
        text.dataset.pick = line.dataset.pick;
        text.textContent = page.curve(line).label;
        svg.append(text);
      }
    }
  }
})();
