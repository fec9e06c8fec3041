// What the reader has chosen, kept in the address behind the anchor: #anchor;only=rope,alibi;ref=alibi;theme=dark
// Every other part of the script reads `page.state`, changes it through `page.change` and draws in `page.onChange`.
const page = (function () {
  "use strict";
  const block = document.getElementById("data");
  const data = block ? JSON.parse(block.textContent) : { runs: [], comparisons: [] };
  const lists = ["only", "hide", "family", "study"];
  const words = ["ref", "theme", "sort"];
  const state = { only: [], hide: [], family: [], study: [], ref: "", theme: "", sort: "" };
  const listeners = [];

  function decode(text) {
    try { return decodeURIComponent(text); } catch (damaged) { return ""; }
  }

  // Anchor and choices of an address; choices that are not written there are not made.
  function read(hash) {
    const [anchor, ...parts] = hash.replace(/^#/, "").split(";");
    const found = { anchor: decode(anchor), chosen: false };
    for (const part of parts) {
      const [key, value = ""] = part.split("=");
      found.chosen = true;
      if (lists.includes(key)) { found[key] = value.split(",").map(decode).filter(Boolean); }
      if (words.includes(key)) { found[key] = decode(value); }
    }
    return found;
  }

  function write(anchor) {
    const parts = [encodeURIComponent(anchor)];
    for (const key of lists) {
      if (state[key].length) { parts.push(key + "=" + state[key].map(encodeURIComponent).join(",")); }
    }
    for (const key of words) {
      if (state[key]) { parts.push(key + "=" + encodeURIComponent(state[key])); }
    }
    return "#" + parts.join(";");
  }

  let anchor = "";
  function show(scroll) {
    const target = anchor && document.getElementById(anchor);
    if (target && target.tagName === "DETAILS") { target.open = true; }
    if (target && scroll) { target.scrollIntoView(); }
  }

  function tell() {
    for (const listener of listeners) { listener(state); }
    history.replaceState(null, "", write(anchor));
  }

  function take(found) {
    anchor = found.anchor;
    for (const key of lists) { state[key] = found[key] || []; }
    for (const key of words) { state[key] = found[key] || ""; }
  }

  // A link within the page moves the anchor and leaves the choices; an address with choices makes them.
  window.addEventListener("hashchange", function () {
    const found = read(location.hash);
    if (found.chosen) { take(found); } else { anchor = found.anchor; }
    show(found.chosen);
    tell();
  });

  const drawing = document.querySelector("svg");
  document.documentElement.classList.add("js");
  return {
    data,
    state,
    onChange(listener) { listeners.push(listener); },
    change(how) { how(state); tell(); },
    // Called last, when every part listens.
    start() { take(read(location.hash)); tell(); show(Boolean(anchor)); },
    // The run that an element belongs to, and the curve with an index there.
    run(element) { return data.runs[Number(element.closest("[data-run]").dataset.run)]; },
    curve(element) { return page.run(element).curves[element.dataset.c]; },
    // A new element with attributes and children; text stays text.
    make(name, attributes, ...children) {
      const svg = ["svg", "g", "path", "rect", "circle", "text", "line"].includes(name);
      const made = svg ? document.createElementNS(drawing.namespaceURI, name) : document.createElement(name);
      for (const [key, value] of Object.entries(attributes || {})) { made.setAttribute(key, value); }
      made.append(...children);
      return made;
    },
  };
})();
