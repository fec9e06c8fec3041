// Values under the pointer, the finger or the arrow keys: of charts all curves at the nearest place on the x axis, of other
// figures the nearest mark. Every figure carries its values as titles, which browsers show without a script, too.
(function () {
  "use strict";
  const most = 12;
  const box = page.make("div", { id: "readout", role: "status", hidden: "" });
  document.body.append(box);
  let open = null;

  // `name, place: value`, the name being the curve's.
  function parse(rect, text) {
    const group = rect.closest("[data-c]");
    const name = group ? page.curve(group).label : "";
    const rest = name && text.startsWith(name + ", ") ? text.slice(name.length + 2) : text;
    const at = rest.indexOf(": ");
    const named = name && rest !== text && at >= 0;
    return {
      rect,
      group,
      name: named ? name : "",
      place: named ? rest.slice(0, at) : "",
      value: named ? rest.slice(at + 2) : text,
      x: Number(rect.getAttribute("x")) + Number(rect.getAttribute("width")) / 2,
      y: Number(rect.getAttribute("y")) + Number(rect.getAttribute("height")) / 2,
    };
  }

  class Figure {
    constructor(svg) {
      this.svg = svg;
      this.across = svg.dataset.read === "across";
      this.points = [];
      for (const title of [...svg.querySelectorAll(".tips title")]) {
        const rect = title.parentNode;
        if (!rect.closest(".key")) {
          rect.point = parse(rect, title.textContent);
          this.points.push(rect.point);
        }
        title.remove();
      }
      this.mark = page.make("g", { class: "mark", "pointer-events": "none" });
      svg.append(this.mark);
      svg.setAttribute("tabindex", "0");
      svg.addEventListener("pointermove", (event) => this.point(event));
      svg.addEventListener("pointerdown", (event) => this.point(event));
      svg.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") { close(); } });
      svg.addEventListener("keydown", (event) => this.key(event));
      svg.addEventListener("blur", close);
    }

    seen() {
      return this.points.filter((p) => !p.group || !p.group.classList.contains("off"));
    }

    // Places on the x axis from left to right, each with its points from top to bottom.
    places() {
      const places = new Map();
      for (const point of this.seen().filter((p) => p.place)) {
        if (!places.has(point.place)) { places.set(point.place, []); }
        places.get(point.place).push(point);
      }
      const mean = (all) => all.reduce((sum, p) => sum + p.x, 0) / all.length;
      return [...places].map(([words, all]) => ({ words, x: mean(all), points: all.sort((a, b) => a.y - b.y) }))
        .sort((a, b) => a.x - b.x);
    }

    point(event) {
      const bounds = this.svg.getBoundingClientRect();
      const scale = this.svg.viewBox.baseVal.width / bounds.width;
      const at = { x: (event.clientX - bounds.left) * scale, y: (event.clientY - bounds.top) * scale };
      if (event.target.closest(".key")) { close(); return; }
      const inside = (p) => {
        const [x, y, w, h] = ["x", "y", "width", "height"].map((name) => Number(p.rect.getAttribute(name)));
        return Math.hypot(Math.max(x - at.x, 0, at.x - x - w), Math.max(y - at.y, 0, at.y - y - h));
      };
      const apart = this.across && this.points.find((p) => !p.place && inside(p) === 0);
      if (apart) {
        this.showPoint(apart, event);
      } else if (this.across) {
        const places = this.places();
        const best = nearest(places, (place) => Math.abs(place.x - at.x));
        if (best) { this.place = places.indexOf(best); this.row = -1; this.showPlace(best, at, event); }
      } else {
        const best = nearest(this.seen(), inside);
        if (best && inside(best) < 8) { this.current = best; this.showPoint(best, event); } else { close(); }
      }
    }

    key(event) {
      const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (event.key === "Escape") { close(); return; }
      if (event.key === "Enter" && event.target === this.svg && this.current && this.current.name) {
        page.pick(this.current.name, event.shiftKey);
        return;
      }
      if (!steps || event.target !== this.svg) { return; }
      event.preventDefault();
      if (this.across) {
        const places = this.places();
        if (!places.length) { return; }
        const clamp = (value, all) => Math.max(0, Math.min(all - 1, value));
        this.place = this.place === undefined ? 0 : clamp(this.place + steps[0], places.length);
        const here = places[this.place];
        this.row = clamp((this.row === undefined ? -1 : this.row) + steps[1], here.points.length);
        this.current = here.points[this.row];
        this.showPlace(here, { x: here.x, y: this.current.y }, null);
      } else {
        const from = this.current || { x: 0, y: 0 };
        const ahead = this.seen().filter((p) => p !== from && (p.x - from.x) * steps[0] + (p.y - from.y) * steps[1] > 0.5);
        const far = (p) => Math.abs(p.x - from.x) * (steps[0] ? 1 : 4) + Math.abs(p.y - from.y) * (steps[1] ? 1 : 4);
        const next = nearest(ahead, far) || this.current;
        if (next) { this.current = next; this.showPoint(next, null); }
      }
    }

    showPlace(place, at, event) {
      const chosen = (p) => p.group && p.group.classList.contains("on");
      let rows = place.points;
      if (rows.length > most) {
        const near = [...rows].sort((a, b) => chosen(b) - chosen(a) || Math.abs(a.y - at.y) - Math.abs(b.y - at.y));
        const kept = new Set(near.slice(0, most));
        rows = rows.filter((p) => kept.has(p));
      }
      const height = this.svg.viewBox.baseVal.height;
      const ys = this.points.map((p) => p.y);
      const top = Math.max(0, Math.min(...ys) - 8);
      const bottom = Math.min(height, Math.max(...ys) + 8);
      this.draw([page.make("path", { d: "M" + place.x + " " + top + "V" + bottom, class: "cross" })],
        event ? [] : [this.current]);
      const left = place.points.length - rows.length;
      show(this, place.words, rows, left, event, place.x, event ? at.y : this.current.y, event ? null : this.current);
    }

    showPoint(point, event) {
      this.draw([], [point]);
      show(this, point.place, [point], 0, event, point.x, point.y, null);
    }

    draw(lines, points) {
      this.mark.replaceChildren(...lines, ...points.map(function (p) {
        const [x, y, width, height] = ["x", "y", "width", "height"].map((name) => p.rect.getAttribute(name));
        return page.make("rect", { x, y, width, height, class: "cross" });
      }));
    }
  }

  function nearest(all, distance) {
    return all.reduce((best, one) => (best === null || distance(one) < distance(best) ? one : best), null);
  }

  function show(figure, head, rows, left, event, x, y, current) {
    if (open && open !== figure) { open.mark.replaceChildren(); }
    open = figure;
    const line = (p) => page.make("tr", p === current ? { class: "current" } : {},
      page.make("th", { scope: "row" }, p.name), page.make("td", {}, p.value));
    const body = page.make("table", {}, page.make("tbody", {}, ...rows.map(line)));
    box.replaceChildren(...(head ? [page.make("strong", {}, head)] : []), body);
    if (left > 0) { box.append(page.make("span", {}, "and " + left + " more")); }
    box.hidden = false;
    const bounds = figure.svg.getBoundingClientRect();
    const scale = bounds.width / figure.svg.viewBox.baseVal.width;
    const at = event ? { x: event.clientX, y: event.clientY } : { x: bounds.left + x * scale, y: bounds.top + y * scale };
    const room = { x: document.documentElement.clientWidth - 8, y: window.innerHeight - 8 };
    const aside = at.x + 16 + box.offsetWidth > room.x ? at.x - 16 - box.offsetWidth : at.x + 16;
    box.style.left = Math.max(8, Math.min(aside, room.x - box.offsetWidth)) + "px";
    box.style.top = Math.max(8, Math.min(at.y + 16, room.y - box.offsetHeight)) + "px";
  }

  function close() {
    if (open) { open.mark.replaceChildren(); }
    open = null;
    box.hidden = true;
  }

  for (const svg of document.querySelectorAll("figure svg")) { new Figure(svg); }
  document.addEventListener("pointerdown", function (event) {
    if (!event.target.closest("figure svg")) { close(); }
  });
  window.addEventListener("scroll", () => { if (open && document.activeElement !== open.svg) { close(); } }, { passive: true });
})();
