// Another reference: differences to every curve were computed beforehand, by the same test; here they are put in place of
// those to the declared one: in forest plots, maps and the table that a study is summed up by.
(function () {
  "use strict";
  const all = page.data.comparisons;
  if (!all.length) { return; }
  const labels = [...new Set(all.flatMap((c) => Object.keys(c.against)))];
  const select = page.make("select", { id: "reference" });
  select.append(page.make("option", { value: "" }, "as declared"),
    ...labels.map((label) => page.make("option", { value: label }, label)));
  document.getElementById("reference-slot").append(page.make("label", { for: "reference" }, "Compare with "), select);
  select.addEventListener("change", () => page.change((state) => { state.ref = select.value; }));

  const sign = (text) => text.replace("-", "−");
  const signed = (x, digits) => (x < 0 ? "−" : "+") + Math.abs(x).toFixed(digits);

  function short(x) {
    const size = Math.abs(x);
    return sign(x.toFixed(size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 3));
  }

  function words(found, comparison) {
    if (!found) { return "not measured"; }
    const [value, low, high, outcome] = found;
    const range = low === null ? "" : " [" + short(low) + ", " + short(high) + "]";
    return short(value) + range + ", " + comparison.outcomes[outcome];
  }

  // Round values on an axis, about `wanted` of them.
  function ticks(low, high, wanted) {
    const rough = (high - low) / wanted;
    const power = Math.pow(10, Math.floor(Math.log10(rough)));
    const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999) || 10 * power;
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i <= Math.floor(high / step + 1e-9); i += 1) { found.push(i * step); }
    return found;
  }

  // Ends of the axis of a panel: all intervals and 0, with a margin.
  function extent(values) {
    const ends = values.flatMap(([value, low, high]) => (low === null ? [value] : [low, high])).concat(0);
    const [low, high] = [Math.min(...ends), Math.max(...ends)];
    const pad = 0.08 * (high > low ? high - low : 0.2);
    return [low - pad, high + pad];
  }

  const paint = (kind, attributes) => page.make(kind, attributes);
  const stroke = (d, ink, width) => paint("path", { d, fill: "none", stroke: ink, "stroke-width": width });

  function forest(figure, comparison, against, reference) {
    const svg = figure.querySelector("svg");
    const crowd = svg.viewBox.baseVal.width > 400;
    const at = (element) => element.dataset.at.split(" ").map(Number);
    for (const axis of svg.querySelectorAll("g.axis")) {
      const [length, x, top, width, bottom] = at(axis);
      const column = comparison.lengths.indexOf(length);
      const values = Object.values(against).map((row) => row[column]).filter(Boolean);
      const [low, high] = extent(values);
      const place = (value) => x + (value - low) / (high - low) * width;
      axis.replaceChildren(stroke("M" + x + " " + bottom + "H" + (x + width), "var(--f-axis)", 1));
      for (const tick of ticks(low, high, Math.max(3, Math.floor(width / 38)))) {
        const text = paint("text", { x: place(tick), y: bottom + 15.5, "font-size": 11, "text-anchor": "middle", fill: "var(--f-muted)" });
        text.textContent = sign(String(Number(tick.toPrecision(4))));
        axis.append(stroke("M" + place(tick) + " " + top + "V" + bottom, "var(--f-grid)", 0.8), text);
      }
      const zero = stroke("M" + place(0) + " " + top + "V" + bottom, "var(--f-mark)", 1.1);
      zero.setAttribute("stroke-dasharray", "3.5 3");
      axis.append(zero);
      for (const dot of svg.querySelectorAll("g.dot")) {
        const [mine, y] = at(dot);
        if (mine !== length || dot.closest(".tips")) { continue; }
        const curve = page.curve(dot);
        const row = against[dot.dataset.c];
        const found = row && row[column];
        const own = "var(--c" + (Number(dot.dataset.c) % 8) + ")";
        const significant = found && comparison.significant[found[3]];
        const inks = { better: "var(--c0)", worse: "var(--c1)" };
        const ink = !crowd ? own : inks[significant] || (curve.label === reference ? "var(--f-text)" : "var(--f-muted)");
        dot.replaceChildren();
        if (curve.label === reference) {
          dot.append(stroke("M" + place(0) + " " + (y - 6) + "v12", ink, 3));
        } else if (found) {
          const [value, from, to] = found;
          if (from !== null) {
            dot.append(stroke("M" + place(from) + " " + y + "H" + place(to), ink, 1.6),
              stroke("M" + place(from) + " " + (y - 3) + "v6M" + place(to) + " " + (y - 3) + "v6", ink, 1.3));
          }
          dot.append(significant
            ? paint("circle", { cx: place(value), cy: y, r: 4, fill: ink })
            : paint("circle", { cx: place(value), cy: y, r: 3.5, fill: "var(--f-paper)", stroke: ink, "stroke-width": 1.3 }));
        } else {
          const text = paint("text", { x: x + 4, y: y + 3.9, "font-size": 11, fill: "var(--f-muted)" });
          text.textContent = "not measured";
          dot.append(text);
        }
      }
    }
    tell(svg, comparison, against, reference);
  }

  function map(figure, comparison, against, reference) {
    const svg = figure.querySelector("svg");
    for (const cell of svg.querySelectorAll("g.cell")) {
      const [rect, text] = [cell.querySelector("rect"), cell.querySelector("text")];
      if (cell.closest(".tips") || !text) { continue; }
      const row = against[cell.dataset.c];
      const found = row && row[comparison.lengths.indexOf(Number(cell.dataset.at))];
      const same = page.curve(cell).label === reference;
      let step = 4;
      if (found && comparison.significant[found[3]]) {
        const strong = 1 + comparison.steps.filter((s) => Math.abs(found[0]) >= s).length;
        step += comparison.significant[found[3]] === "worse" ? strong : -strong;
      }
      rect.setAttribute("fill", "var(--d" + step + ")");
      text.setAttribute("fill", same ? "var(--f-muted)" : "var(--e" + step + ")");
      text.textContent = same ? "0" : found ? signed(found[0], comparison.digits) : "";
    }
    tell(svg, comparison, against, reference);
  }

  // What the readout says of each mark.
  function tell(svg, comparison, against, reference) {
    for (const rect of svg.querySelectorAll(".tips [data-at] rect")) {
      const group = rect.closest("[data-c]");
      const row = against[group.dataset.c];
      const column = comparison.lengths.indexOf(Number(group.dataset.at.split(" ")[0]));
      const same = page.curve(group).label === reference;
      rect.point.name = page.curve(group).label;
      rect.point.place = comparison.lengths[column] + " tokens";
      rect.point.value = same ? "the reference" : words(row && row[column], comparison);
    }
  }

  function sheet(table, comparison, against, reference) {
    const column = comparison.lengths.indexOf(comparison.sheet.at);
    for (const cell of table.querySelectorAll("td.against")) {
      const curve = page.curve(cell.closest("tr"));
      const found = against[curve.index] && against[curve.index][column];
      const { factor, digits } = comparison.sheet;
      const one = (x) => signed(x * factor, digits);
      delete cell.dataset.value;
      cell.textContent = "";
      if (curve.label === reference) { cell.textContent = "reference"; }
      if (found) {
        cell.dataset.value = found[0];
        cell.textContent = one(found[0]) + (found[1] === null ? "" : " [" + one(found[1]) + ", " + one(found[2]) + "]");
      }
    }
    const rows = [...table.tBodies[0].rows];
    const base = rows.find((row) => page.curve(row).label === reference);
    for (const row of rows) {
      row.classList.toggle("reference", row === base);
      [...row.querySelectorAll("td.cost")].forEach(function (cell, i) {
        if (cell.dataset.declared === undefined) { cell.dataset.declared = cell.dataset.value || ""; }
        const by = base && base.querySelectorAll("td.cost")[i];
        const unit = by && Number(by.dataset.declared === undefined ? by.dataset.value : by.dataset.declared);
        const times = Number(cell.dataset.declared) / unit;
        cell.textContent = cell.dataset.declared && unit ? times.toFixed(2) : "";
        if (cell.textContent) { cell.dataset.value = times; } else { delete cell.dataset.value; }
      });
    }
    for (const text of table.parentNode.parentNode.querySelectorAll("[data-names-reference]")) {
      if (text.dataset.declared === undefined) { text.dataset.declared = text.textContent; }
      text.textContent = text.dataset.declared
        .replace("against " + comparison.reference, "against " + reference)
        .replace("cost over " + comparison.reference + "'s", "cost over " + reference + "'s")
        .replace("scheme minus " + comparison.reference + ",", "scheme minus " + reference + ",");
    }
  }

  // Of two rows that say the same from either side the page holds one.
  function whole(comparison, reference) {
    const rows = Object.assign({}, comparison.against[reference]);
    const minus = (x) => (x === null ? null : 0 - x);
    const turn = (found) => found && [minus(found[0]), minus(found[2]), minus(found[1]), comparison.turned[found[3]]];
    const mine = comparison.curves[reference];
    for (const [label, others] of Object.entries(comparison.against)) {
      const place = comparison.curves[label];
      if (!(place in rows) && others[mine]) { rows[place] = others[mine].map(turn); }
    }
    return rows;
  }

  let shown = "";
  page.onChange(function (state) {
    select.value = labels.includes(state.ref) ? state.ref : "";
    if (select.value === shown) { return; }
    shown = select.value;
    for (const comparison of all) {
      const wanted = comparison.against[shown] ? shown : comparison.reference;
      const against = whole(comparison, wanted);
      for (const [id, draw] of [[comparison.forest, forest], [comparison.map, map]]) {
        if (!id) { continue; }
        const figure = document.getElementById(id.figure);
        const fill = (text) => text.split("\u0001").join(wanted);
        figure.querySelector("h3 > span").textContent = fill(id.title);
        figure.querySelector("figcaption").textContent = fill(id.caption);
        draw(figure, comparison, against, wanted);
      }
      if (comparison.sheet) { sheet(document.getElementById(comparison.sheet.table), comparison, against, wanted); }
    }
  });
})();
