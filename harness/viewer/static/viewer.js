// Keys, light and dark, and following a store that is being written to. Every state of a page is
// its address: without this file the pages work all the same.
"use strict";
(() => {
  const root = document.documentElement;
  const $ = (selector) => document.querySelector(selector);

  // Light and dark.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const name = () => {
    const button = $("#theme");
    if (button) button.textContent = isDark() ? "Light" : "Dark";
    if (button) button.setAttribute("aria-label", `Change to ${isDark() ? "light" : "dark"}`);
  };
  const turn = () => {
    const wanted = isDark() ? "light" : "dark";
    const system = dark.matches ? "dark" : "light";
    if (wanted === system) delete root.dataset.theme; else root.dataset.theme = wanted;
    try {
      if (wanted === system) localStorage.removeItem("samescore-theme");
      else localStorage.setItem("samescore-theme", wanted);
    } catch { /* only this page, then */ }
    name();
    dispatchEvent(new CustomEvent("draw-plots"));
  };

  // Keys.
  const help = () => { const d = $("#help"); if (d && !d.open) d.showModal(); };
  const follow = (key) => {
    const links = document.querySelectorAll(`a[data-key="${key}"]`);
    if (links.length) location.href = links[links.length - 1].href;
  };
  const search = () => {
    const field = $('[data-key="/"]');
    if (field) { field.focus(); if (field.select) field.select(); }
  };
  const keys = {
    "/": search, "?": help, t: turn, g: () => { location.href = "/"; },
    j: () => follow("j"), k: () => follow("k"), u: () => follow("u"),
  };
  const typing = (e) => e.target.closest("input:not([type=checkbox]), textarea, select, dialog");
  addEventListener("keydown", (e) => {
    if (e.key === "Escape" && e.target.matches("input[type=search]")) e.target.blur();
    if (e.ctrlKey || e.metaKey || e.altKey || typing(e) || !(e.key in keys)) return;
    e.preventDefault();
    keys[e.key]();
  });

  // At most two runs can be ticked: a third takes the place of the first.
  const ticked = [];
  addEventListener("change", (e) => {
    if (!e.target.matches(".tick input")) return;
    const at = ticked.indexOf(e.target);
    if (at >= 0) ticked.splice(at, 1);
    if (e.target.checked) ticked.push(e.target);
    if (ticked.length > 2) ticked.shift().checked = false;
  });

  // Following: the store says cheaply whether anything changed; then the page is asked for again.
  const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });
  const busy = () => {
    const at = document.activeElement;
    return (at && at.closest("main form") && at.matches("input, select")) ||
      $("main details[open]:not([data-was])") || $(".tick input:checked") || !getSelection().isCollapsed;
  };
  const refresh = async () => {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const [now, next] = [$("main"), page.querySelector("main")];
    if (!next || busy()) return;
    const focused = document.activeElement && document.activeElement.closest("main a[href]");
    if (now.innerHTML !== next.innerHTML) {
      dispatchEvent(new CustomEvent("before-swap"));
      now.replaceChildren(...next.childNodes);
      const href = focused && focused.getAttribute("href");
      const again = href && now.querySelector(`a[href="${CSS.escape(href)}"]`);
      if (again) again.focus({ preventScroll: true });
      dispatchEvent(new CustomEvent("swapped"));
    }
    now.toggleAttribute("data-live", next.hasAttribute("data-live"));
  };
  const watch = async () => {
    let etag = "";
    let wait = 400;
    let last = performance.now();
    while ($("main[data-live]")) {
      await pause(document.hidden ? 5000 : wait);
      try {
        const answer = await fetch("/live", { headers: etag ? { "if-none-match": etag } : {} });
        const token = answer.headers.get("etag") || "";
        const changed = token !== etag;
        etag = token;
        // Also without a change now and then: a reader was busy, or the store had been read just before.
        if (changed || performance.now() - last > 5000) {
          await refresh();
          last = performance.now();
        }
        wait = changed ? 700 : Math.min(3000, wait * 1.4);
      } catch { wait = 5000; }
    }
  };

  addEventListener("DOMContentLoaded", () => {
    name();
    dark.addEventListener("change", name);
    const [theme, keysButton] = [$("#theme"), $("#help-button")];
    if (theme) theme.addEventListener("click", turn);
    if (keysButton) keysButton.addEventListener("click", help);
    watch();
  });
})();
