(function () {
  "use strict";
  var root = document.documentElement;
  root.classList.add("js");

  // Theme: the system's until the reader chooses; the choice is kept where the browser allows it.
  var button = document.getElementById("theme");
  var system = window.matchMedia("(prefers-color-scheme: dark)");
  function shown() {
    return root.dataset.theme || (system.matches ? "dark" : "light");
  }
  function name() {
    button.textContent = shown() === "dark" ? "Light" : "Dark";
    button.setAttribute("aria-label", "Show in " + button.textContent.toLowerCase() + " colours");
  }
  function kept(value) {
    try {
      if (value) { localStorage.setItem("farspan-theme", value); }
      return localStorage.getItem("farspan-theme");
    } catch (refused) {
      return value;
    }
  }
  var wanted = { "#dark": "dark", "#light": "light" }[location.hash] || kept();
  if (wanted === "dark" || wanted === "light") { root.dataset.theme = wanted; }
  name();
  system.addEventListener("change", name);
  button.addEventListener("click", function () {
    root.dataset.theme = shown() === "dark" ? "light" : "dark";
    kept(root.dataset.theme);
    name();
  });

  // Copying a table. Where the clipboard is refused the text is laid open and selected.
  function say(from, words) {
    var place = from.parentNode.querySelector(".copied");
    place.textContent = words;
    setTimeout(function () { place.textContent = ""; }, 4000);
  }
  document.addEventListener("click", function (event) {
    var from = event.target.closest("button[data-copy]");
    if (!from) { return; }
    var source = document.getElementById(from.dataset.copy);
    function byHand() {
      source.hidden = false;
      source.focus();
      source.select();
      say(from, document.execCommand("copy") ? "Copied" : "Press Ctrl+C to copy");
    }
    if (navigator.clipboard && window.isSecureContext) {
      navigator.clipboard.writeText(source.value).then(function () { say(from, "Copied"); }, byHand);
    } else {
      byHand();
    }
  });

  // A link to a figure's table opens it.
  function open() {
    var target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (target && target.tagName === "DETAILS") { target.open = true; }
  }
  window.addEventListener("hashchange", open);
  open();
})();
