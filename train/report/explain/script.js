(() => { // what one score sees
  const card = document.querySelector(".patches");
  if (!maps.length) return;
  card.hidden = false;
  const [view, map] = [card.querySelector(".view"), card.querySelector(".map")], said = card.querySelector(".said");
  const tabs = card.querySelector(".tabs");
  let m = maps[0], now = "before", over = "gradient", row = 0, column = 0; // of the measured scores
  const image = source => { const i = new Image(); i.src = source; return i };
  const drawn = name => { // the picture that the style sheet holds under this name
    const probe = document.createElement("span");
    probe.className = "pic i" + [...name].map(c => /[\p{L}\p{N}]/u.test(c) ? c : "-" + c.codePointAt(0).toString(16)).join("");
    document.body.append(probe);
    const url = getComputedStyle(probe).backgroundImage.slice(5, -2);
    probe.remove();
    return url;
  };
  for (const each of maps) {
    each.image = image(drawn(each.picture)), each.sheet = image(each.tiles);
    const button = document.createElement("button");
    button.innerHTML = each.name.replace(/^D_(.)/, "D<sub>$1</sub>");
    button.onclick = () => { m = each; middle(); draw() };
    each.button = button;
    tabs.append(button);
  }
  const middle = () => { row = m.rows.length >> 1, column = m.columns.length >> 1 };
  const centre = k => m.start + k * m.step + (m.size - 1) / 2;  // of what score k sees, a pixel
  const colour = s => { // as figures.diverging
    const t = Math.max(-1, Math.min(1, (s - scale[0]) / scale[1])), end = t < 0 ? [33, 102, 172] : [196, 82, 10];
    return `rgb(${[247, 247, 247].map((c, i) => Math.round(c + (end[i] - c) * Math.abs(t)))})`;
  };
  const sheet = (from, w, h, x = column * w, y = row * h) => { // a piece of a picture, on a canvas of its own
    const piece = document.createElement("canvas");
    piece.width = w, piece.height = h;
    piece.getContext("2d", { willReadFrequently: true }).drawImage(from, -x, -y);
    return piece;
  };
  const enlarged = (lamp, w, h) => { // a tile as large as the picture
    const large = document.createElement("canvas");
    large.width = w, large.height = h;
    const c = large.getContext("2d", { willReadFrequently: true });
    c.drawImage(lamp, 0, 0, w, h);
    return c.getImageData(0, 0, w, h).data;
  };
  const lit = () => { // what moves the score is lit, in the light of a lamp
    const [th, tw] = m.tile, { width: w, height: h } = m.image, light = enlarged(sheet(m.sheet, tw, th), w, h);
    const scene = sheet(m.image, w, h, 0, 0), at = scene.getContext("2d"), pixels = at.getImageData(0, 0, w, h), d = pixels.data;
    for (let i = 0; i < d.length; i += 4) {
      const g = light[i] / 252;
      for (let k = 0; k < 3; k++) d[i + k] = d[i + k] * (.18 + .5 * g) + [255, 186, 90][k] * .34 * g;
    }
    at.putImageData(pixels, 0, 0);
    return scene;
  };
  function draw() {
    const W = view.width = 480, H = view.height = Math.round(480 * m.height / m.width), c = view.getContext("2d");
    if (!m.image.complete || !m.sheet.complete) return Promise.all([m.image.decode(), m.sheet.decode()]).then(draw);
    const unit = W / m.width, scores = m[now], P = scores.length, Q = scores[0].length;
    c.imageSmoothingEnabled = false;
    c.drawImage(over == "gradient" ? lit() : m.image, 0, 0, W, H);
    c.globalAlpha = .55;
    if (over == "scores") scores.forEach((line, y) => line.forEach((score, x) => { // each around the middle of its box
      c.fillStyle = colour(score);
      c.fillRect((centre(x) + .5 - m.step / 2) * unit, (centre(y) + .5 - m.step / 2) * unit, m.step * unit, m.step * unit);
    }));
    c.globalAlpha = 1;
    const [i, j] = [m.rows[row], m.columns[column]];
    const [top, left] = [m.start + i * m.step, m.start + j * m.step];
    c.lineWidth = 3, c.setLineDash([9, 6]), c.strokeStyle = "#fff";
    c.strokeRect(left * unit, top * unit, m.size * unit, m.size * unit);
    const s = map.getContext("2d");
    map.width = Q * 16, map.height = P * 16;
    scores.forEach((line, y) => line.forEach((score, x) => { s.fillStyle = colour(score); s.fillRect(x * 16, y * 16, 16, 16) }));
    s.lineWidth = 4, s.strokeStyle = "#000", s.strokeRect(j * 16, i * 16, 16, 16);
    s.lineWidth = 2, s.strokeStyle = "#fff", s.strokeRect(j * 16, i * 16, 16, 16);
    for (const each of maps) each.button.setAttribute("aria-pressed", each == m);
    const share = 100 * m.outside[row * m.columns.length + column];
    said.innerHTML = `Score (${i}, ${j}) of ${P}×${Q} by ${m.disc.replace(/_(.)/, "<sub>$1</sub>")}: <b>${m.before[i][j].toFixed(2)}</b> before the step, <b>${m.after[i][j].toFixed(2)}</b> after it. `
      + `<b>${share.toFixed(1)} %</b> of its gradient lies outside the frame of ${m.size}×${m.size} pixels${m.size > Math.min(m.height, m.width) ? ", which is larger than the picture" : ""}.`
      + (m.rows.length * m.columns.length < P * Q ? ` (Measured were ${m.rows.length * m.columns.length} of the ${P * Q} scores.)` : "");
  }
  const nearest = (list, value) => list.reduce((best, x, k) => Math.abs(x - value) < Math.abs(list[best] - value) ? k : best, 0);
  const follow = (canvas, at) => {
    const point = e => {
      const box = canvas.getBoundingClientRect();
      [row, column] = at((e.clientX - box.x) / box.width, (e.clientY - box.y) / box.height);
      draw();
    };
    canvas.onpointerdown = point;
    canvas.onpointermove = e => { if (e.pointerType == "mouse" || e.buttons) point(e) };
  };
  follow(view, (x, y) => [nearest(m.rows.map(centre), y * m.height - .5), nearest(m.columns.map(centre), x * m.width - .5)]);
  follow(map, (x, y) => [nearest(m.rows, y * m.before.length - .5), nearest(m.columns, x * m.before[0].length - .5)]);
  view.onkeydown = e => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[e.key];
    if (!step) return;
    row = Math.max(0, Math.min(m.rows.length - 1, row + step[0])), column = Math.max(0, Math.min(m.columns.length - 1, column + step[1]));
    e.preventDefault();
    draw();
  };
  const choice = (group, set) => [...group.children].forEach((button, k) => button.onclick = () => {
    set(k);
    [...group.children].forEach((other, n) => other.setAttribute("aria-pressed", n == k));
    draw();
  });
  choice(card.querySelector(".when"), k => now = ["before", "after"][k]);
  choice(card.querySelector(".over"), k => over = ["gradient", "scores"][k]);
  middle();
  draw();
})();
for (const depth of document.querySelectorAll(".depth")) { // read out a layer of the chart
  const layers = JSON.parse(depth.dataset.layers), here = depth.querySelector(".here"), said = depth.querySelector(".said"), svg = depth.querySelector("svg");
  let at = -1;
  const show = k => {
    at = Math.max(0, Math.min(layers.length - 1, k));
    depth.classList.add("on");
    here.setAttribute("x", +depth.dataset.left + at * depth.dataset.step);
    const [name, ...pulls] = layers[at];
    said.innerHTML = `<code>${name}</code> ` + pulls.map(([source, length, share]) => `${source} <b>${length}</b> (${share})`).join(" · ");
  };
  const point = e => { const box = svg.getBoundingClientRect(); show(Math.floor(((e.clientX - box.x) / box.width * depth.dataset.wide - depth.dataset.left) / depth.dataset.step)) };
  svg.onpointerdown = point;
  svg.onpointermove = e => { if (e.pointerType == "mouse" || e.buttons) point(e) };
  depth.onkeydown = e => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
    if (step) { e.preventDefault(); show(at + step) }
  };
}
for (const button of document.querySelectorAll(".fold button")) button.onclick = () => { // fold the graph out, down to a level
  const levels = button.dataset.level.split(" ");
  for (const details of document.querySelectorAll(".tree details")) details.open = levels.includes(details.className);
};
