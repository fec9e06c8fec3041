// Colours: the system's until the reader chooses; the choice is kept in the address and where the browser allows it.
(function () {
  "use strict";
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const system = window.matchMedia("(prefers-color-scheme: dark)");

  function kept(value) {
    try {
      if (value) { localStorage.setItem("farspan-theme", value); }
      return localStorage.getItem("farspan-theme");
    } catch (refused) {
      return value;
    }
  }

  function shown() {
    return root.dataset.theme || (system.matches ? "dark" : "light");
  }

  function name() {
    button.textContent = shown() === "dark" ? "Light" : "Dark";
    button.setAttribute("aria-label", "Show in " + button.textContent.toLowerCase() + " colours");
  }

  page.onChange(function (state) {
    const wanted = state.theme || kept();
    if (wanted === "dark" || wanted === "light") { root.dataset.theme = wanted; }
    name();
  });
  system.addEventListener("change", name);
  button.addEventListener("click", function () {
    const next = shown() === "dark" ? "light" : "dark";
    kept(next);
    page.change((state) => { state.theme = next; });
  });
})();
