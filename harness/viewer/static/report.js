// A report's table of samples: unpacked here, searched, ordered and shown page by page. Every text
// goes into the page as text. What is shown is in the address, behind its #.
"use strict";
(() => {
  const PAGE = 50;
  const $ = (id) => document.getElementById(id);
  const unpack = async (id) => {
    const packed = atob($(id).textContent.trim());
    const bytes = Uint8Array.from(packed, (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  };
  const node = (tag, options = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(options)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };
  const score = (v) => {
    if (typeof v !== "number") return v === null || v === undefined ? "–" : String(v).replaceAll("_", " ");
    return (Math.abs(v) < 10 ? v.toFixed(4) : String(Number(v.toPrecision(5)))).replace("-", "−");
  };
  const signed = (v) => (v > 0 ? "+" : "") + score(v);

  // Credit: spans that overlap add up; levels are linear from the largest.
  const credited = (text, spans) => {
    const chars = Array.from(text); // characters, as Python counts them
    const size = chars.length;
    const bounds = new Set([0, size]);
    const kept = spans.map(([a, b, v]) => [Math.max(0, a), Math.min(size, b), v]).filter(([a, b]) => a < b);
    kept.forEach(([a, b]) => bounds.add(a).add(b));
    const edges = [...bounds].sort((a, b) => a - b);
    const values = edges.slice(0, -1).map((start) => {
      const here = kept.filter(([a, b]) => a <= start && start < b);
      return here.length ? here.reduce((sum, [, , v]) => sum + v, 0) : null;
    });
    const largest = Math.max(...values.map((v) => Math.abs(v || 0)));
    return values.map((v, i) => {
      const part = chars.slice(edges[i], edges[i + 1]).join("");
      if (v === null) return part;
      const level = v && largest ? Math.round((Math.abs(v) / largest) * 5) || 1 : 0;
      return node("span", { class: `credit ${v > 0 ? "p" : v < 0 ? "n" : "z"}${level || ""}`, title: signed(v) }, part);
    });
  };

  const values = (row, scorer) => row[3].map((a) => (a && a[2][scorer] ? a[2][scorer][0] : null));
  const number = (row, scorer) => {
    const found = values(row, scorer);
    const last = found[found.length - 1];
    if (found.length === 1) return typeof last === "number" ? last : null;
    return typeof last === "number" && typeof found[0] === "number" ? last - found[0] : null;
  };

  const verdict = (label, found) => {
    const [value, reason, parts] = found || [null];
    const box = node("div", { class: "verdict" }, node("h4", {}, label),
      node("p", typeof value === "number" ? { class: "num" } : { class: "cause" }, score(value)));
    if (reason) box.append(node("div", { class: "prose", dir: "auto" }, reason));
    const told = Object.entries(parts || {}).map(([name, v]) => `${name} ${score(v)}`);
    if (told.length) box.append(node("p", { class: "under num" }, told.join(" · ")));
    return box;
  };
  const answer = (data, found, letter) => {
    const box = node("div", {});
    if (letter) box.append(node("h4", {}, letter));
    if (!found) { box.append(node("p", { class: "none" }, "not there")); return box; }
    const [text, error, verdicts] = found;
    if (error !== null) box.append(node("p", { class: "cause" }, error || "the generator failed"));
    else box.append(node("div", { class: "prose", dir: "auto" }, text));
    data.labels.forEach((label, i) => {
      const spans = verdicts[i] && verdicts[i][3];
      if (spans) box.append(node("p", { class: "under" }, `what earned it, by ${label}`), node("div", { class: "prose credited", dir: "auto" }, ...credited(text, spans)));
    });
    box.append(...data.labels.map((label, i) => verdict(label, verdicts[i])));
    return box;
  };
  const article = (data, row) => {
    const [name, prompt, references, answers] = row;
    const shown = data.labels.map((label, i) => {
      const each = values(row, i).map(score).join(" → ");
      return node("span", {}, node("span", { class: "label", title: label }, label), ` ${each} `);
    });
    const head = node("summary", {}, node("strong", { dir: "auto" }, name), " ", node("span", { class: "under", dir: "auto" }, prompt.length > 140 ? `${prompt.slice(0, 140)} …` : prompt));
    const details = node("details", { class: "sample" }, head, node("p", { class: "num scores" }, ...shown));
    const body = () => {
      if (details.childElementCount > 2) return;
      details.append(node("div", { class: "prose", dir: "auto" }, prompt || "an empty prompt"));
      details.append(node("div", { class: answers.length > 1 ? "two" : "" }, ...answers.map((a, i) => answer(data, a, data.sides[i]))));
      references.forEach((text) => details.append(node("h4", {}, "Reference"), node("div", { class: "prose", dir: "auto" }, text)));
    };
    details.addEventListener("toggle", body);
    return node("article", { class: "pair" }, details, node("p", { class: "num scores" }, ...shown.map((s) => s.cloneNode(true))));
  };

  const start = (data) => {
    const form = $("filter");
    const texts = data.rows.map((row) => [row[0], row[1], ...row[2], ...row[3].map((a) => (a ? a[0] : ""))].join("\n").toLowerCase());
    let page = 1;
    const state = () => Object.fromEntries(new FormData(form));
    const chosen = () => {
      const { q, scorer, low, high, only, sort } = state();
      const wanted = q.toLowerCase();
      const places = data.rows.map((_, i) => i).filter((i) => {
        const v = number(data.rows[i], Number(scorer));
        if (wanted && !texts[i].includes(wanted)) return false;
        if (low !== "" && !(v !== null && v >= Number(low))) return false;
        if (high !== "" && !(v !== null && v <= Number(high))) return false;
        return only !== "unscored" || values(data.rows[i], Number(scorer)).some((x) => typeof x !== "number");
      });
      if (sort === "row") return places;
      const sign = sort === "score" ? 1 : -1;
      const key = (i) => { const v = number(data.rows[i], Number(scorer)); return v === null ? Infinity : sign * v; };
      return places.sort((a, b) => (key(a) === key(b) ? a - b : key(a) < key(b) ? -1 : 1));
    };
    const show = () => {
      const places = chosen();
      const pages = Math.max(1, Math.ceil(places.length / PAGE));
      page = Math.min(page, pages);
      $("found").textContent = `${places.length.toLocaleString("en")}${places.length < data.rows.length ? ` of ${data.rows.length.toLocaleString("en")}` : ""} samples`;
      $("rows").replaceChildren(...places.slice((page - 1) * PAGE, page * PAGE).map((i) => article(data, data.rows[i])));
      const turn = (by, text) => {
        const button = node("button", { type: "button" }, text);
        button.disabled = page + by < 1 || page + by > pages;
        button.addEventListener("click", () => { page += by; keep(); show(); $("samples").scrollIntoView(); });
        return button;
      };
      $("pager").replaceChildren(...(pages > 1 ? [turn(-1, "← Previous"), node("span", {}, `Page ${page} of ${pages}`), turn(1, "Next →")] : []));
    };
    const keep = () => {
      const told = Object.entries({ ...state(), page }).filter(([n, v]) => v !== "" && !(n === "page" && v === 1) && !(n === "sort" && v === "row") && !(n === "scorer" && v === "0"));
      history.replaceState(null, "", told.length ? `#${new URLSearchParams(told)}` : location.pathname + location.search);
    };
    const restore = () => {
      const given = new URLSearchParams(location.hash.slice(1));
      for (const [name, value] of given) if (name !== "page" && form.elements[name]) form.elements[name].value = value;
      page = Math.max(1, Number.parseInt(given.get("page") || "1", 10) || 1);
    };
    form.hidden = false;
    form.addEventListener("submit", (e) => e.preventDefault());
    form.addEventListener("input", () => { page = 1; keep(); show(); });
    addEventListener("keydown", (e) => {
      if (e.key === "/" && !e.target.closest("input, select")) { e.preventDefault(); form.elements.q.focus(); }
    });
    addEventListener("beforeprint", () => document.querySelectorAll("details.sample").forEach((d) => { d.open = true; }));
    restore();
    show();
  };

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const theme = $("theme");
  const name = () => {
    theme.textContent = isDark() ? "Light" : "Dark";
    theme.setAttribute("aria-label", `Change to ${isDark() ? "light" : "dark"}`);
  };
  theme.hidden = false;
  theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; name(); dispatchEvent(new CustomEvent("draw-plots")); });
  dark.addEventListener("change", name);
  name();

  const draw = async () => {
    if (!$("plotly").textContent.trim()) return;
    const script = document.createElement("script");
    script.textContent = await unpack("plotly"); // its digest is in the page's policy
    document.head.append(script);
    dispatchEvent(new CustomEvent("draw-plots"));
  };
  const samples = async () => { if ($("rows")) start(JSON.parse(await unpack("data"))); };
  samples().then(draw).catch((error) => {
    const found = $("found");
    if (found) found.textContent = `This browser cannot unpack the samples: ${error.message}`;
  });
})();
