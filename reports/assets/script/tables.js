// Tables: sorted by a click on a head, copied as CSV or as the LaTeX that lies beside them.
(function () {
  "use strict";
  function value(row, column) {
    const cell = row.cells[column];
    const text = cell.dataset.value !== undefined ? cell.dataset.value : cell.textContent.trim();
    const number = text === "" ? NaN : Number(text.replace("−", "-").replace(/[%×≥<*\u202f]/g, "").split(" ")[0]);
    return { text, number };
  }

  // Numbers before words, nothing last; rows that are alike keep their order.
  function sort(table, column, down) {
    const rows = [...table.tBodies[0].rows];
    const keyed = rows.map((row, order) => ({ row, order, ...value(row, column) }));
    keyed.sort(function (a, b) {
      const [x, y] = [Number.isNaN(a.number), Number.isNaN(b.number)];
      if (x !== y) { return x - y; }
      const by = x ? a.text.localeCompare(b.text) : a.number - b.number;
      return (down ? -by : by) || a.order - b.order;
    });
    table.tBodies[0].append(...keyed.map((k) => k.row));
    for (const head of table.querySelectorAll("thead [data-column]")) {
      const mine = Number(head.dataset.column) === column;
      if (mine) { head.setAttribute("aria-sort", down ? "descending" : "ascending"); } else { head.removeAttribute("aria-sort"); }
    }
  }

  for (const table of document.querySelectorAll("table[data-sortable]")) {
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    heads.forEach(function (head, column) {
      const button = page.make("button", { type: "button", class: "sort" }, ...head.childNodes);
      head.dataset.column = column;
      head.append(button);
      button.addEventListener("click", function () {
        const down = head.getAttribute("aria-sort") === "ascending";
        if (table.id) {
          page.change((state) => { state.sort = [table.id, column, down ? "down" : "up"].join(":"); });
        } else {
          sort(table, column, down);
        }
      });
    });
  }
  page.onChange(function (state) {
    const [id, column, way] = state.sort.split(":");
    const table = id && document.getElementById(id);
    if (table && table.tBodies && Number(column) < table.tHead.rows[table.tHead.rows.length - 1].cells.length) {
      sort(table, Number(column), way === "down");
    }
  });

  // RFC 4180. What a spreadsheet would take for a formula gets an apostrophe in front, as in the files.
  function csv(table) {
    const cell = function (text) {
      const formula = /^[\s]*[=+\-@＝＋－＠﹦﹢﹣﹫]/.test(text) && Number.isNaN(Number(text));
      const safe = (formula ? "'" : "") + text;
      return formula || /["',;\t\n\r]/.test(safe) ? '"' + safe.replace(/"/g, '""') + '"' : safe;
    };
    const rows = [table.tHead.rows[table.tHead.rows.length - 1], ...table.tBodies[0].rows];
    return rows.map((row) => [...row.cells].map((c) => cell(c.textContent.trim())).join(",") + "\r\n").join("");
  }

  // Where the clipboard is refused the text is laid open and selected.
  function copy(button, text) {
    const said = button.parentNode.querySelector(".copied");
    const say = function (words) {
      said.textContent = words;
      setTimeout(() => { said.textContent = ""; }, 4000);
    };
    const byHand = function () {
      let area = button.parentNode.nextElementSibling;
      if (!area || !area.matches("textarea.copy")) {
        area = page.make("textarea", { class: "copy", readonly: "", "aria-label": "The table to copy" });
        button.parentNode.after(area);
      }
      area.value = text;
      area.focus();
      area.select();
      say(document.execCommand("copy") ? "Copied" : "Press Ctrl+C to copy");
    };
    if (navigator.clipboard && window.isSecureContext) {
      navigator.clipboard.writeText(text).then(() => say("Copied"), byHand);
    } else {
      byHand();
    }
  }
  document.addEventListener("click", function (event) {
    const button = event.target.closest("button[data-copy]");
    if (!button) { return; }
    const source = document.getElementById(button.dataset.copy);
    copy(button, source.tagName === "TABLE" ? csv(source) : source.textContent);
  });
})();
