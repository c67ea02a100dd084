
"use strict";
// Zooming, searching and the status line of a leakprof flame graph. Without it the file is complete: every
// number is in the text and in the frames' titles.
(function () {
  // The root of a file, or an element of a page.
  var svg = document.querySelector("svg");
  var panelWidth = Number(svg.dataset.panel);
  var characterWidth = 6.7;
  var status = document.getElementById("status");
  var footnote = status.textContent;
  var typed = null; // the search being typed, null while none is
  var state = { node: 0, query: "" };

  var panels = Array.from(document.querySelectorAll(".panel")).map(function (group) {
    var frames = Array.from(group.querySelectorAll(".f")).map(function (element) {
      var data = element.dataset;
      var kept = Number(data.k);
      var delta = Number(data.d);
      return {
        element: element, node: Number(data.n), level: Number(data.l), offset: Number(data.o),
        kept: kept, delta: delta, width: kept + delta,
        name: data.t, title: element.querySelector("title").textContent,
        label: element.querySelector("text"), rects: Array.from(element.querySelectorAll("rect"))
      };
    });
    var byNode = new Map();
    frames.forEach(function (frame) { byNode.set(frame.node, frame); });
    return { frames: frames, byNode: byNode };
  });

  function show(text) { status.textContent = text; }

  function place(frame, x, width, scale) {
    frame.element.classList.remove("hidden");
    frame.rects.forEach(function (rect) {
      var name = rect.getAttribute("class");
      if (name === "k") {
        rect.setAttribute("x", x);
        rect.setAttribute("width", width);
      } else if (name === "new") {
        rect.setAttribute("x", x);
        rect.setAttribute("width", Math.min(2, width));
      } else {
        var part = Math.min(width, frame.delta * scale);
        rect.setAttribute("x", x + width - part);
        rect.setAttribute("width", part);
      }
    });
    var fits = Math.floor((width - 6) / characterWidth);
    var name = frame.name;
    frame.label.setAttribute("x", x + 4);
    frame.label.textContent = name.length <= fits ? name : fits < 3 ? "" : name.slice(0, fits - 1) + "…";
  }

  // Draws both graphs so that the frame `node` fills the wider of its two widths.
  function zoom(node) {
    var targets = panels.map(function (panel) { return panel.byNode.get(node); });
    var largest = Math.max.apply(null, targets.map(function (frame) { return frame ? frame.width : 0; }));
    if (!(largest > 0)) return;
    state.node = node;
    var scale = panelWidth / largest;
    panels.forEach(function (panel, index) {
      var target = targets[index];
      panel.frames.forEach(function (frame) {
        if (!target) {
          frame.element.classList.add("hidden");
          return;
        }
        var isInner = frame.level >= target.level && frame.offset >= target.offset &&
          frame.offset + frame.width <= target.offset + target.width;
        var isOuter = frame.level < target.level && frame.offset <= target.offset &&
          frame.offset + frame.width >= target.offset + target.width;
        frame.element.classList.toggle("outer", isOuter);
        if (isInner) {
          place(frame, (frame.offset - target.offset) * scale, frame.width * scale, scale);
          if (frame.width * scale < 0.3) frame.element.classList.add("hidden");
        } else if (isOuter) {
          place(frame, 0, target.width * scale, scale);
        } else {
          frame.element.classList.add("hidden");
        }
      });
    });
    remember();
  }

  // Outlines the frames whose name, file or module matches, and says what they come to; ^ and $ are the ends
  // of each.
  function search(query) {
    state.query = query;
    var pattern = null;
    if (query) {
      try {
        pattern = new RegExp(query, "im");
      } catch (error) {
        show("not a regular expression: " + query);
        return;
      }
    }
    var count = 0;
    var grown = 0;
    panels.forEach(function (panel, index) {
      var isLast = index === panels.length - 1;
      var end = -1;
      // Frames come outermost first, so a match inside of a match is not counted again.
      panel.frames.forEach(function (frame) {
        var matches = pattern !== null && pattern.test(frame.title);
        frame.element.classList.toggle("match", matches);
        if (!matches || !isLast) return;
        count += 1;
        if (frame.offset >= end) {
          grown += panels.length > 1 ? frame.delta : frame.width;
          end = frame.offset + frame.width;
        }
      });
    });
    if (pattern) {
      show("“" + query + "”: " + count + (count === 1 ? " frame, " : " frames, ") + quantity(grown) + (panels.length > 1 ? " grown" : ""));
    } else {
      show(footnote);
    }
    remember();
  }

  function quantity(value) {
    if (svg.dataset.unit !== "bytes") return String(value);
    var units = ["B", "KiB", "MiB", "GiB", "TiB"];
    var unit = 0;
    while (value >= 1024 && unit < units.length - 1) {
      value /= 1024;
      unit += 1;
    }
    return (unit === 0 ? String(value) : value.toFixed(1)) + " " + units[unit];
  }

  // Keeps what is shown in the address, so that it can be sent to somebody.
  function remember() {
    var parts = [];
    if (state.node) parts.push("n=" + state.node);
    if (state.query) parts.push("q=" + encodeURIComponent(state.query));
    try {
      history.replaceState(null, "", parts.length ? "#" + parts.join("&") : location.pathname);
    } catch (error) {
      // A file opened in some viewers has no history; the graph works all the same.
    }
  }

  function recall() {
    location.hash.slice(1).split("&").forEach(function (part) {
      var value = decodeURIComponent(part.slice(2));
      if (part.slice(0, 2) === "n=") zoom(Number(value));
      if (part.slice(0, 2) === "q=") search(value);
    });
  }

  function reset() {
    search("");
    zoom(0);
  }

  function twins(node, isOn) {
    panels.forEach(function (panel) {
      var frame = panel.byNode.get(node);
      if (frame) frame.element.classList.toggle("twin", isOn);
    });
  }

  function type(key) {
    if (key === "Enter" || key === "Escape") {
      var query = key === "Enter" ? typed : "";
      typed = null;
      search(query);
      return;
    }
    if (key === "Backspace") typed = typed.slice(0, -1);
    if (key.length === 1) typed += key;
    show("search: " + typed + "▏  (Enter searches, Esc ends)");
  }

  function startTyping() {
    typed = "";
    type("");
  }

  panels.forEach(function (panel) {
    panel.frames.forEach(function (frame) {
      frame.element.addEventListener("click", function () { zoom(frame.node); });
      frame.element.addEventListener("mouseenter", function () {
        twins(frame.node, true);
        show(frame.title.split("\n").join("   "));
      });
      frame.element.addEventListener("mouseleave", function () {
        twins(frame.node, false);
        show(footnote);
      });
    });
  });
  document.getElementById("controls").classList.remove("hidden");
  document.getElementById("reset").addEventListener("click", reset);
  document.getElementById("search").addEventListener("click", startTyping);
  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey && event.key === "f" || typed === null && event.key === "/") {
      startTyping();
    } else if (typed !== null) {
      type(event.key);
    } else if (event.key === "Escape") {
      reset();
    } else if (event.key === "Enter" && event.target.id === "reset") {
      reset();
    } else if (event.key === "Enter" && event.target.id === "search") {
      startTyping();
    } else {
      return;
    }
    event.preventDefault();
  });
  svg.classList.add("active");
  recall();
})();
