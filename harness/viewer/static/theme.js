// Before the page is drawn: light or dark, as was chosen here before.
"use strict";
(() => {
  try {
    const chosen = localStorage.getItem("samescore-theme");
    if (chosen) document.documentElement.dataset.theme = chosen;
  } catch { /* a browser that keeps nothing follows the system */ }
})();
