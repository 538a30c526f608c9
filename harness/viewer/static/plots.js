// Draws the figures of a page with plotly.js from the data beside them.
"use strict";
(() => {
  // The page allows no inline styles; plotly.js writes some as attributes, which the style object
  // takes as well, and that is allowed.
  const setAttribute = Element.prototype.setAttribute;
  Element.prototype.setAttribute = function set(name, value) {
    if (name === "style") this.style.cssText = value; else setAttribute.call(this, name, value);
  };

  // Nor style elements: one of them would only be blocked, and told of in the console.
  const createElement = Document.prototype.createElement;
  Document.prototype.createElement = function create(name, ...more) {
    const wanted = String(name).toLowerCase() === "style" ? "template" : name;
    return createElement.call(this, wanted, ...more);
  };

  const drawn = new Map();
  const layout = (given, style) => ({
    ...given,
    font: { ...given.font, family: style.fontFamily, color: style.color },
    autosize: true,
    hoverlabel: { font: { family: style.fontFamily } },
  });

  const draw = (figure) => {
    const canvas = figure.querySelector(".canvas");
    const data = figure.querySelector("script").textContent;
    const style = getComputedStyle(canvas);
    const state = style.color + data;
    if (drawn.get(canvas) === state) return;
    drawn.set(canvas, state);
    const found = JSON.parse(data);
    const config = { displayModeBar: false, responsive: true };
    Plotly.react(canvas, found.data, layout(found.layout, style), config);
  };

  const all = () => {
    if (typeof Plotly !== "undefined") document.querySelectorAll("[data-plot]").forEach(draw);
  };
  addEventListener("DOMContentLoaded", all);
  addEventListener("swapped", all);
  if (document.readyState !== "loading") all();
  addEventListener("draw-plots", all);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
})();
