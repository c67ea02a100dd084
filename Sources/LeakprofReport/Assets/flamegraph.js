
"use strict";
// Lenses, zooming, searching and the keyboard of a leakprof flame graph. Without it the file is complete for
// one lens: every number is in the text and in the frames' titles. Several graphs may be in one page.
(function () {
  var NS = "http://www.w3.org/2000/svg";
  var XHTML = "http://www.w3.org/1999/xhtml";
  var ROW = 18, MARGIN = 12, GAP = 16, WIDTH = 1200, CHARACTER = 6.7, NARROWEST = 27;
  var NOTES = {
    growth: "what grew", union: "in both, grown, shrunk", before: "before", after: "after",
    side: "side by side", sites: "by site"
  };
  var script = document.currentScript;
  var svg = script ? script.closest("svg") : document.documentElement;
  var isAlone = svg === document.documentElement;
  var data = JSON.parse(svg.querySelector("metadata").textContent);
  var isComparison = data.names.length === 2;
  var top = Number(svg.dataset.top);
  var tree = read(data.tree);
  var sites = read(data.sites);
  var knowsBlocks = tree.before > 0 || tree.after > 0; // some profiles have bytes alone
  var status = svg.querySelector(".status");
  var scaleNote = svg.querySelector(".scale");
  var footnote = status.textContent;
  var state = { lens: svg.dataset.lens, node: null, query: "", matchCase: false, unfold: false, pivot: null };
  var shown = []; // what is drawn, in order: { node, panel, depth, element }
  var focused = null; // the node the keyboard is at
  var canvas = make(NS, "g", { "class": "canvas" });
  var bar = null;

  // Rows of numbers as nodes; a node's fields are FrameData's.
  function read(text) {
    var path = [];
    text.split(";").forEach(function (row) {
      if (!row) return;
      var v = row.split(",").map(Number);
      var value = function (index) { return v[index] || 0; };
      var depth = value(0), flags = value(9);
      var node = {
        fn: value(1), line: value(2), more: value(3), kept: value(4), grown: value(5), shrunk: value(6),
        before: value(7), after: value(8), machinery: (flags & 1) !== 0, notableGrowth: (flags & 2) !== 0,
        notableShrinkage: (flags & 4) !== 0, error: value(10), median: value(11),
        newBlocks: value(12), newLive: value(13), parent: null, children: []
      };
      if (depth > 0) {
        node.parent = path[depth - 1];
        node.parent.children.push(node);
      }
      path[depth] = node;
    });
    return path[0];
  }

  function make(space, name, attributes, text) {
    var element = document.createElementNS(space, name);
    Object.keys(attributes).forEach(function (key) { element.setAttribute(key, attributes[key]); });
    if (text !== undefined) element.textContent = text;
    return element;
  }

  function each(node, visit) {
    visit(node);
    node.children.forEach(function (child) { each(child, visit); });
  }

  // Numbers in words.

  function quantity(value, signed) {
    var sign = value < 0 ? "-" : signed ? "+" : "";
    var size = Math.abs(value);
    if (data.unit !== "bytes") return sign + String(Math.round(size)).replace(/\B(?=(\d{3})+$)/g, ",");
    var units = ["B", "KiB", "MiB", "GiB", "TiB"];
    var unit = 0;
    while (size >= 1024 && unit < units.length - 1) {
      size /= 1024;
      unit += 1;
    }
    return sign + (unit === 0 ? String(Math.round(size)) : size.toFixed(1)) + " " + units[unit];
  }

  function percent(part, whole) {
    var share = whole === 0 ? 0 : part / whole * 100;
    return share > 0 && share < 0.05 ? "< 0.1 %" : share.toFixed(whole !== 0 && share < 10 ? 1 : 0) + " %";
  }

  function duration(nanoseconds) {
    var seconds = nanoseconds / 1e9;
    if (seconds < 60) return seconds.toFixed(1) + " s";
    if (seconds < 3600) return Math.floor(seconds / 60) + " m " + Math.floor(seconds % 60) + " s";
    return Math.floor(seconds / 3600) + " h " + Math.floor(seconds / 60 % 60) + " m";
  }

  function rate(change) { return quantity(change / (data.elapsed / 60e9)) + "/min"; }
  function perUnit(node) {
    function divided(value, done, signed) {
      var result = value / done;
      return quantity(result < 0 ? -Math.round(-result) : Math.round(result), signed);
    }
    return (data.per.between
      ? divided(change(node), data.per.between, true)
      : divided(base(node), data.per.base, false) + " → " + divided(current(node), data.per.current, false)) +
      " per " + data.per.unit;
  }
  function base(node) { return node.kept + node.shrunk; }
  function current(node) { return node.kept + node.grown; }
  function change(node) { return node.grown - node.shrunk; }
  function isNew(node) { return isComparison && base(node) === 0 && current(node) > 0; }
  function isGone(node) { return isComparison && current(node) === 0 && base(node) > 0; }
  function isRoot(node) { return node === tree || node === sites; }
  function fullName(node) { return data.functions[node.fn][0] || "all stacks"; }
  function name(node) { return data.functions[node.fn][1] || fullName(node); }
  function file(node) { return data.strings[data.functions[node.fn][2]]; }
  function module(node) { return data.strings[data.functions[node.fn][3]]; }
  function place(node) { return file(node) && node.line > 0 ? file(node).replace(/.*\//, "") + ":" + node.line : ""; }
  function visible(node) {
    return node.children.filter(function (child) { return state.unfold || !child.machinery; });
  }
  function folded(node) {
    return state.unfold ? [] : node.children.filter(function (child) { return child.machinery; });
  }

  function step(node, grew) {
    if (!(grew ? node.notableGrowth : node.notableShrinkage)) return 0;
    var share = grew ? node.grown / Math.max(1, tree.grown) : node.shrunk / Math.max(1, tree.shrunk);
    return share < 0.01 ? 1 : share < 0.05 ? 2 : share < 0.2 ? 3 : 4;
  }

  function tooltip(node) {
    var lines = [fullName(node)];
    if (file(node)) {
      lines.push(file(node) + ":" + node.line +
        (node.more > 0 ? " and " + node.more + " more line" + (node.more > 1 ? "s" : "") : ""));
    }
    if (module(node)) lines.push(module(node));
    var mean = data.unit === "bytes" && node.after > 0 && current(node) > 0
      ? " of " + quantity(Math.floor(current(node) / node.after)) + " on average" : "";
    if (!isComparison) {
      lines.push(quantity(current(node)) + ", " + percent(current(node), current(tree)) + " of all" +
        (knowsBlocks ? ", " + node.after + " blocks" + mean : ""));
    } else {
      lines.push(quantity(base(node)) + " → " + quantity(current(node)) + ", " + quantity(change(node), true) +
        (node.error > 0 ? " ±" + quantity(node.error) : ""));
      if (node.grown > 0) lines.push(percent(node.grown, tree.grown) + " of all growth");
      if (node.shrunk > 0) lines.push(percent(node.shrunk, tree.shrunk) + " of what shrank");
      if (isNew(node)) lines.push("new");
      if (isGone(node)) lines.push("gone");
      if (knowsBlocks) lines.push(node.before + " → " + node.after + " blocks" + mean);
      if (node.newBlocks > 0) {
        lines.push((node.error > 0 ? "about " : "") + node.newLive + " of " + node.newBlocks +
          " blocks allocated since " + data.names[0] + " are still live");
      }
      if (data.elapsed > 0 && change(node) !== 0) lines.push(rate(change(node)));
      if (data.per) lines.push(perUnit(node));
    }
    if (data.ages[node.median]) lines.push("median age " + data.ages[node.median]);
    if (folded(node).length) lines.push("allocator frames in it: " + folded(node).map(name).join(", "));
    return lines;
  }

  function amount(node, isBase) {
    if (isBase || state.lens === "before") return quantity(base(node));
    if (!isComparison || state.lens === "after") return quantity(current(node));
    if (state.lens === "growth") return quantity(node.grown, true);
    return [node.grown > 0 ? quantity(node.grown, true) : "", node.shrunk > 0 ? quantity(-node.shrunk) : ""]
      .filter(Boolean).join(" ");
  }

  function label(node, isBase) {
    var words = [name(node)];
    var isLeaf = visible(node).length === 0;
    if ((isLeaf || state.lens === "sites") && place(node)) words[0] += " " + place(node);
    if (amount(node, isBase)) words.push(amount(node, isBase));
    if (isNew(node)) words.push("[new]");
    if (isGone(node)) words.push("[gone]");
    if (folded(node).length) words.push("[+" + folded(node).length + "]");
    return words.join("  ");
  }

  // What the lens shows of a node, in bytes.
  function parts(node, panel) {
    switch (panel.content) {
      case "growth": return [0, node.grown, 0];
      case "before": return [base(node), 0, 0];
      case "after": return [current(node), 0, 0];
      case "beforeOfTwo": return [node.kept, 0, node.shrunk];
      case "afterOfTwo": return [node.kept, node.grown, 0];
      default: return [node.kept, node.grown, node.shrunk];
    }
  }

  function sum(numbers) { return numbers[0] + numbers[1] + numbers[2]; }

  function live(value) {
    return quantity(value) + (data.unit === "bytes" ? "" : " blocks") + (data.inUse ? " live" : " allocated");
  }

  function root() { return state.lens === "sites" ? sites : tree; }

  // The graphs of the lens.
  function panels() {
    var whole = WIDTH - 2 * MARGIN, half = (whole - GAP) / 2;
    var changes = quantity(tree.kept) + " kept, " + quantity(tree.grown, true) + ", -" + quantity(tree.shrunk);
    var before = "Before: " + data.names[0] + ", " + live(base(tree));
    var after = isComparison ? "After: " + data.names[1] + ", " + live(current(tree))
      : data.names[0] + ", " + live(current(tree));
    var grown = quantity(tree.grown, true) + " grown" +
      (data.elapsed > 0 ? " in " + duration(data.elapsed) + " (" + rate(tree.grown) + ")" : "");
    var one = function (content, title) { return [{ content: content, title: title, x: MARGIN, width: whole }]; };
    switch (state.lens) {
      case "growth": return one("growth", grown);
      case "before": return one("before", before);
      case "after": return one("after", after);
      case "sites": return one(isComparison ? "union" : "after",
        "By site, with their callers: " + (isComparison ? changes : after));
      case "side": return [
        { content: "beforeOfTwo", title: before, x: MARGIN, width: half },
        { content: "afterOfTwo", title: after, x: MARGIN + half + GAP, width: half }
      ];
      default: return one("union", "In both, grown, and shrunk: " + changes);
    }
  }

  // Drawing.

  function rect(name, x, y, width, height) {
    return make(NS, "rect", { "class": name, x: x.toFixed(2), y: y, width: Math.max(0, width).toFixed(2), height: height });
  }

  function clip(text, width) {
    var fits = Math.floor((width - 6) / CHARACTER);
    return text.length <= fits ? text : fits < 3 ? "" : text.slice(0, fits - 1) + "…";
  }

  function draw(node, panel, depth, x, width) {
    var all = parts(node, panel), total = sum(all), isBase = panel.content === "beforeOfTwo";
    var lines = tooltip(node);
    var classes = "f" + (isGone(node) ? " gone" : "") + (node.match ? " match" : "") +
      (panel.isOuter ? " outer" : "");
    var group = make(NS, "g", {
      "class": classes, role: "treeitem", tabindex: "-1", "aria-level": depth + 1, "aria-label": lines.join(", ")
    });
    group.appendChild(make(NS, "title", {}, lines.join("\n")));
    var names = ["k", "g" + step(node, true), "s" + step(node, false)];
    var left = x, widest = { name: "k", x: x, width: 0 };
    all.forEach(function (part, index) {
      if (!(part > 0)) return;
      var segment = total > 0 ? width * part / total : 0;
      group.appendChild(rect(names[index], left, 0, segment, ROW - 1));
      if (index === 2) {
        var hatch = rect("", left, 0, segment, ROW - 1);
        hatch.setAttribute("fill", "url(#" + svg.dataset.prefix + (/[34]/.test(names[2]) ? "b" : "a") + ")");
        hatch.removeAttribute("class");
        group.appendChild(hatch);
      }
      if (segment > widest.width) widest = { name: names[index], x: left, width: segment };
      left += segment;
    });
    group.appendChild(rect("e", x, 0, width, ROW - 1));
    if (isNew(node)) group.appendChild(rect("new", x, 0, Math.min(2, width), ROW - 1));
    if (widest.width >= NARROWEST) {
      group.appendChild(make(NS, "text", { "class": "t" + widest.name, x: (widest.x + 4).toFixed(2), y: 13 },
        clip(label(node, isBase), widest.width)));
    }
    var item = { node: node, panel: panel, depth: depth, element: group };
    listen(item);
    shown.push(item);
    panel.group.appendChild(group);
  }

  function drawBelow(node, panel, depth, x, width, sign) {
    var scale = width / (sum(parts(node, panel)) || 1);
    visible(node).forEach(function (child) {
      var part = sum(parts(child, panel)) * scale;
      if (part >= 0.5) {
        draw(child, panel, depth + sign, x, part);
        drawBelow(child, panel, depth + sign, x, part, sign);
      }
      x += part;
    });
  }

  function ancestors(node) {
    var path = [];
    for (var outer = node.parent; outer; outer = outer.parent) path.unshift(outer);
    return path;
  }

  // Draws all that is to be seen: outer frames, the frame zoomed to, and what is below it.
  function render() {
    shown = [];
    canvas.textContent = "";
    var zoomed = state.pivot ? state.pivot.callees : state.node || root();
    var all = panels();
    var largest = Math.max.apply(null, all.map(function (panel) { return sum(parts(zoomed, panel)); }));
    var scale = all[0].width / (largest || 1);
    all.forEach(function (panel) {
      panel.group = make(NS, "g", { "class": "panel", role: "tree", "aria-label": panel.title });
      var outer = state.pivot ? [] : ancestors(zoomed);
      var width = sum(parts(zoomed, panel)) * scale;
      panel.isOuter = true;
      if (width > 0) outer.forEach(function (node, depth) { draw(node, panel, depth, 0, width); });
      panel.isOuter = false;
      if (width > 0 || all.length === 1) draw(zoomed, panel, outer.length, 0, width);
      if (state.pivot) drawBelow(state.pivot.callers, panel, 0, 0, width, -1);
      drawBelow(zoomed, panel, outer.length, 0, width, 1);
      canvas.appendChild(panel.group);
    });
    arrange(all);
    if (scaleNote) scaleNote.textContent = "100 pixels are " + quantity(100 / scale) + (all.length > 1 ? ", in both graphs" : "") +
      ".   [+2]: two allocator frames are part of the frame";
    crumbs(zoomed);
    roam();
    press();
    remember();
  }

  // Puts rows where they belong, and the page's end below them.
  function arrange(all) {
    var depths = shown.map(function (item) { return item.depth; });
    var first = Math.min.apply(null, depths), last = Math.max.apply(null, depths);
    var isFlame = svg.dataset.flame === "1";
    shown.forEach(function (item) {
      item.row = isFlame ? last - item.depth : item.depth - first;
      item.element.setAttribute("transform", "translate(0 " + item.row * ROW + ")");
    });
    all.forEach(function (panel) {
      var title = state.pivot
        ? (isFlame ? "Callees above, callers below: " : "Callers above, callees below: ") + name(state.pivot.callees)
        : panel.title;
      panel.group.setAttribute("transform", "translate(" + panel.x + " " + top + ")");
      panel.group.insertBefore(make(NS, "text", { "class": "head", x: 0, y: -8 }, clip(title, panel.width)), panel.group.firstChild);
    });
    var bottom = top + (last - first + 1) * ROW;
    status.setAttribute("y", bottom + 22);
    svg.setAttribute("height", bottom + 36);
    svg.setAttribute("viewBox", "0 0 " + WIDTH + " " + (bottom + 36));
  }

  // The way to the frame zoomed to; each part of it leads back.
  function crumbs(zoomed) {
    var line = svg.querySelector(".crumbs");
    line.textContent = "";
    var path = state.pivot ? [root()] : ancestors(zoomed);
    if (!path.length) return;
    path.slice(-7).forEach(function (node) {
      var part = make(NS, "tspan", { "class": "crumb" }, clip(name(node), 190));
      part.addEventListener("click", function () { zoom(node); });
      line.appendChild(part);
      line.appendChild(make(NS, "tspan", {}, " › "));
    });
    line.appendChild(make(NS, "tspan", {}, clip(name(zoomed), 190)));
  }

  function show(text) { status.textContent = text; }

  function zoom(node) {
    state.pivot = null;
    state.node = node === root() ? null : node;
    focused = node;
    render();
  }

  // What a pivot shows is no part of the tree: from there, back to it.
  function enter(node) { zoom(state.pivot ? root() : node); }

  function up() {
    if (state.pivot) zoom(state.node || root());
    else if (state.node) zoom(state.node.parent || root());
    else if (state.query) search("");
  }

  // The same frame in the other tree has no meaning, so the zoom ends where the tree changes.
  function look(lens) {
    if ((lens === "sites") !== (state.lens === "sites")) state.node = focused = null;
    state.pivot = null;
    state.lens = lens;
    if (state.query) search(state.query);
    else render();
  }

  function cycle() { look(data.lenses[(data.lenses.indexOf(state.lens) + 1) % data.lenses.length]); }

  function fold() {
    state.unfold = !state.unfold;
    if (state.node && state.node.machinery && !state.unfold) state.node = null;
    render();
    show(state.unfold ? "allocator frames are shown" : "allocator frames are part of their callers");
  }

  // All stacks through the function of a node, as one node with its callees and one with its callers.
  function pivot(node) {
    var fn = node.fn, callees = empty(fn), callers = empty(fn);
    var visit = function (at) {
      if (at.fn !== fn || at.parent === null) {
        at.children.forEach(visit);
        return;
      }
      // What calls itself is counted where it was first called.
      merge(callees, at);
      gather(callees, at);
      merge(callers, at);
      var inner = callers;
      for (var outer = at.parent; outer && outer.parent; outer = outer.parent) {
        inner = child(inner, outer.fn);
        merge(inner, outer, at);
      }
    };
    visit(tree);
    if (state.lens === "sites") state.lens = isComparison ? "union" : "after";
    state.node = null;
    state.pivot = { callees: callees, callers: callers };
    focused = callees;
    render();
  }

  function empty(fn) {
    return { fn: fn, line: 0, more: 0, kept: 0, grown: 0, shrunk: 0, before: 0, after: 0, machinery: false,
      notableGrowth: false, notableShrinkage: false, error: 0, newBlocks: 0, newLive: 0, parent: null, children: [] };
  }

  function child(node, fn) {
    var found = node.children.filter(function (known) { return known.fn === fn; })[0];
    if (!found) {
      found = empty(fn);
      found.parent = node;
      node.children.push(found);
    }
    return found;
  }

  // Adds the sums of `amounts`, or of the node itself, to another node of the same function.
  function merge(into, node, amounts) {
    var from = amounts || node;
    ["kept", "grown", "shrunk", "before", "after", "newBlocks", "newLive"].forEach(function (key) { into[key] += from[key]; });
    into.line = into.line || node.line;
    into.error = Math.sqrt(into.error * into.error + from.error * from.error);
    into.machinery = node.machinery;
    into.notableGrowth = into.notableGrowth || from.notableGrowth;
    into.notableShrinkage = into.notableShrinkage || from.notableShrinkage;
  }

  function gather(into, node) {
    node.children.forEach(function (callee) {
      var same = child(into, callee.fn);
      merge(same, callee);
      gather(same, callee);
    });
  }

  // Searching.

  // Marks the frames whose name, file or module matches, and says what they come to; ^ and $ are the ends of
  // each.
  function search(query) {
    var pattern = null;
    try {
      if (query) pattern = new RegExp(query, state.matchCase ? "m" : "im");
    } catch (error) {
      show("not a regular expression: " + query);
      return;
    }
    state.query = query;
    var count = 0, bytes = 0;
    // A match inside of a match is not counted again.
    var visit = function (node, isInside) {
      node.match = pattern !== null && !isRoot(node) &&
        pattern.test([fullName(node), file(node), module(node)].join("\n"));
      if (node.match) count += 1;
      if (node.match && !isInside) bytes += isComparison ? node.grown : current(node);
      node.children.forEach(function (inner) { visit(inner, isInside || node.match); });
    };
    visit(root(), false);
    render();
    if (bar) bar.input.value = query;
    var whole = isComparison ? tree.grown : current(tree);
    show(!pattern ? footnote : "“" + query + "”: " + count + (count === 1 ? " frame, " : " frames, ") +
      quantity(bytes) + (isComparison ? " grown, " : ", ") + percent(bytes, whole) +
      (isComparison ? " of all growth" : " of all") + (count ? "   (n, N: next, previous)" : ""));
  }

  function next(direction) {
    var matches = [];
    each(root(), function (node) { if (node.match) matches.push(node); });
    if (!matches.length) return;
    var index = matches.indexOf(focused);
    index = index < 0 && direction < 0 ? matches.length - 1 : (index + direction + matches.length) % matches.length;
    reach(matches[index]);
  }

  // Goes to a node, and zooms as far as it takes to see it.
  function reach(node) {
    focused = node;
    if (!shown.some(function (item) { return item.node === node; })) {
      state.pivot = null;
      state.node = node;
      if (node.machinery) state.unfold = true;
      render();
    }
    focus(node);
  }

  // The keyboard.

  // Only one frame is a stop of the tab key.
  function roam() {
    var items = shown.filter(function (item) { return item.node === focused; });
    var item = items[items.length - 1] || shown[0];
    shown.forEach(function (other) { other.element.setAttribute("tabindex", other === item ? "0" : "-1"); });
    return item;
  }

  function focus(node) {
    focused = node;
    var item = roam();
    if (item) item.element.focus();
  }

  function move(key) {
    var isFlame = svg.dataset.flame === "1";
    var item = roam();
    if (!item) return;
    if (key === "Home") return focus(shown[0].node);
    var isVertical = key === "ArrowUp" || key === "ArrowDown";
    var delta = key === "ArrowDown" || key === "ArrowRight" ? 1 : -1;
    if (isVertical && (state.pivot || (delta === 1) === isFlame)) {
      if (item.node.parent && !state.pivot) return focus(item.node.parent);
    }
    var row = shown.filter(function (other) {
      return other.panel === item.panel && other.row === item.row + (isVertical ? delta : 0);
    });
    var target = isVertical
      ? row.filter(function (other) { return other.node.parent === item.node || item.node.parent === other.node; })[0]
      : row[row.indexOf(item) + delta];
    if (target) focus(target.node);
  }

  function copy(node) {
    var lines = [];
    for (var at = node; at && at.parent; at = at.parent) lines.push(fullName(at) + (place(at) ? "  " + file(at) + ":" + at.line : ""));
    if (state.lens === "sites") lines.reverse();
    show("copied " + lines.length + (lines.length === 1 ? " frame" : " frames"));
    if (navigator.clipboard) {
      navigator.clipboard.writeText(lines.join("\n")).catch(function () { show("the browser did not allow copying"); });
    } else {
      show("this browser does not copy from files: " + lines.join(" < "));
    }
  }

  function press() {
    if (!bar) return;
    bar.lenses.forEach(function (button) {
      button.setAttribute("aria-pressed", String(!state.pivot && button.value === state.lens));
    });
    bar.unfold.setAttribute("aria-pressed", String(state.unfold));
    bar.matchCase.setAttribute("aria-pressed", String(state.matchCase));
  }

  function key(event) {
    var at = focused || state.node || root();
    if (event.ctrlKey && event.key === "f" || event.key === "/") bar.input.focus();
    else if (event.ctrlKey || event.altKey || event.metaKey) return;
    else if (/^(Arrow|Home)/.test(event.key)) move(event.key);
    else if (event.key === "Enter" || event.key === " ") enter(at);
    else if (event.key === "Escape" || event.key === "Backspace") up();
    else if (event.key === "v") cycle();
    else if (event.key === "p" && !isRoot(at)) pivot(at);
    else if (event.key === "c") copy(at);
    else if (event.key === "h") fold();
    else if (event.key === "n") next(1);
    else if (event.key === "N") next(-1);
    else return;
    event.preventDefault();
    if (focused && /^(Enter| |Escape|Backspace)$/.test(event.key)) focus(focused);
  }

  function typed(event) {
    event.stopPropagation();
    if (event.key === "Enter") {
      search(bar.input.value);
      bar.input.blur();
    } else if (event.key === "Escape") {
      search("");
      focus(focused || state.node || root());
    } else return;
    event.preventDefault();
  }

  function listen(item) {
    var node = item.node, element = item.element;
    var twins = function (isOn) {
      shown.forEach(function (other) { if (other.node === node) other.element.classList.toggle("twin", isOn); });
    };
    element.addEventListener("click", function () { enter(node); });
    element.addEventListener("mouseenter", function () {
      twins(true);
      show(tooltip(node).join("   "));
    });
    element.addEventListener("mouseleave", function () { twins(false); });
    element.addEventListener("focus", function () {
      focused = node;
      show(tooltip(node).join("   "));
    });
  }

  // The address.

  // A node as the names on the way to it; ~2 is the second child of that name.
  function pathOf(node) {
    return ancestors(node).slice(1).concat([node]).map(function (at) {
      var same = at.parent.children.filter(function (other) { return name(other) === name(at); });
      return encodeURIComponent(name(at)) + (same.length > 1 ? "~" + (same.indexOf(at) + 1) : "");
    }).join(";");
  }

  function nodeAt(path) {
    var node = root();
    path.split(";").forEach(function (part) {
      if (!node || !part) return;
      var pieces = /^(.*?)(?:~(\d+))?$/.exec(part);
      var wanted = decodeURIComponent(pieces[1]);
      var same = node.children.filter(function (other) { return name(other) === wanted; });
      node = same[(Number(pieces[2]) || 1) - 1] || null;
    });
    return node;
  }

  // Keeps what is shown in the address, so that it can be sent to somebody.
  function remember() {
    if (!isAlone) return;
    var parts = [];
    if (state.node) parts.push("path=" + pathOf(state.node));
    if (state.lens !== svg.dataset.lens) parts.push("lens=" + state.lens);
    if (state.query) parts.push("q=" + encodeURIComponent(state.query));
    try {
      history.replaceState(null, "", parts.length ? "#" + parts.join("&") : location.pathname);
    } catch (error) {
      // A file opened in some viewers has no history; the graph works all the same.
    }
  }

  function recall() {
    var wanted = {};
    location.hash.slice(1).split("&").forEach(function (part) {
      var equal = part.indexOf("=");
      wanted[part.slice(0, equal)] = part.slice(equal + 1);
    });
    if (data.lenses.indexOf(wanted.lens) >= 0) state.lens = wanted.lens;
    try {
      var node = wanted.path ? nodeAt(wanted.path) : null;
      if (node && node !== root()) state.node = focused = node;
      return wanted.q ? decodeURIComponent(wanted.q) : "";
    } catch (error) {
      return ""; // half of an escape: what somebody typed
    }
  }

  // Buttons.

  function button(parent, text, title, action) {
    var element = make(XHTML, "button", { type: "button", title: title }, text);
    element.addEventListener("click", action);
    element.addEventListener("keydown", function (event) {
      if (event.key === "Enter" || event.key === " ") event.stopPropagation();
    });
    parent.appendChild(element);
    return element;
  }

  function build() {
    var frame = make(NS, "foreignObject", { x: MARGIN, y: svg.dataset.controls, width: WIDTH - 2 * MARGIN, height: 26 });
    var row = make(XHTML, "div", { "class": "bar", role: "toolbar", "aria-label": "graph" });
    bar = { lenses: [] };
    data.lenses.forEach(function (lens) {
      var one = button(row, isComparison || lens === "sites" ? NOTES[lens] : "by caller", lens + " (v: next)", function () { look(lens); });
      one.value = lens;
      bar.lenses.push(one);
    });
    bar.unfold = button(row, "allocators", "show allocator frames (h)", fold);
    button(row, "up", "one frame up (Esc)", up);
    bar.input = make(XHTML, "input", { type: "search", size: "22", placeholder: "search (/), a pattern", "aria-label": "search frames, a regular expression" });
    bar.input.addEventListener("keydown", typed);
    row.appendChild(bar.input);
    bar.matchCase = button(row, "Aa", "match upper and lower case", function () {
      state.matchCase = !state.matchCase;
      search(bar.input.value);
    });
    row.appendChild(make(XHTML, "span", {}, "p: pivot · c: copy · arrows"));
    frame.appendChild(row);
    svg.insertBefore(frame, status);
    svg.insertBefore(make(NS, "text", { "class": "note crumbs", x: MARGIN, y: top - 26 }), status);
    Array.from(svg.querySelectorAll(".panel")).forEach(function (panel) { panel.remove(); });
    svg.insertBefore(canvas, status);
  }

  build();
  // An image's parts are no elements to those who listen; from here on they are.
  svg.setAttribute("role", "group");
  svg.classList.add("active");
  (isAlone ? document : svg).addEventListener("keydown", key);
  var query = recall();
  render();
  if (query) search(query);
})();
