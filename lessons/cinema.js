const root = document.currentScript ? document.currentScript.parentElement : document
const $ = s => root.querySelector(s), $$ = s => [...root.querySelectorAll(s)]
const slider = $('input[type=range]'), names = Object.keys(data.films), N = data.count, G = data.grid
const size = 8 * N + 2 * G * G
let film, bytes, playing = 0
slider.max = data.steps.length - 1

function decode(text) { const raw = atob(text); return Int8Array.from(raw, c => c.charCodeAt(0) << 24 >> 24) }
function colours() {  // of the theme, as numbers
  const style = getComputedStyle(document.documentElement), get = n => style.getPropertyValue(n).trim()
  const rgb = h => { h = h.slice(1); if (h.length < 6) h = [...h].map(c => c + c).join(''); return [0, 2, 4].map(i => parseInt(h.slice(i, i + 2), 16)) }
  return { fake: rgb(get('--c1')), real: rgb(get('--c0')), none: rgb(get('--card')), ink: get('--ink'), soft: get('--soft'), rule: get('--rule'), c: [0, 1, 2, 3].map(i => get('--c' + i)), of: [get('--c2'), get('--c3'), get('--ink'), get('--c4')] }
}
function canvas(c) {
  const scale = devicePixelRatio || 1, w = c.clientWidth, h = c.clientHeight
  c.width = w * scale; c.height = h * scale
  const g = c.getContext('2d'); g.scale(scale, scale)
  return [g, w, h]
}
function plane(c, at, from, target, which) {
  const [g, w] = canvas(c), col = colours(), px = x => (x / data.reach + 1) / 2 * w, py = y => (1 - y / data.reach) / 2 * w
  const small = new OffscreenCanvas(G, G), sg = small.getContext('2d'), im = sg.createImageData(G, G)
  for (let i = 0; i < G * G; i++) {
    const s = (bytes[at + 8 * N + which * G * G + i] + 60) / 120, t = Math.min(1, Math.abs(s - .5) * 2) * .75, end = s < .5 ? col.fake : col.real
    for (let k = 0; k < 3; k++) im.data[4 * i + k] = col.none[k] + t * (end[k] - col.none[k])
    im.data[4 * i + 3] = 255
  }
  sg.putImageData(im, 0, 0)
  g.imageSmoothingEnabled = true; g.drawImage(small, 0, 0, w, w)
  g.strokeStyle = col.ink; g.globalAlpha = .75
  for (const [x, y] of target) { g.beginPath(); g.arc(px(x), py(y), 4, 0, 7); g.stroke() }
  const place = (k, i) => [0, 1].map(d => bytes[at + (k * N + i) * 2 + d] / 100 * data.reach)
  const line = (p, q, dash) => { g.setLineDash(dash); g.beginPath(); g.moveTo(px(p[0]), py(p[1])); g.lineTo(px(q[0]), py(q[1])); g.stroke(); g.setLineDash([]) }
  for (let i = 0; i < N; i++) {
    const there = place(2 * which, i), back = place(2 * which + 1, i)
    g.strokeStyle = g.fillStyle = col.of[Math.floor(i / (N / 4))]
    g.globalAlpha = .5
    if ($('.there').checked) line(from[i], there, [])
    if ($('.back').checked) { line(there, back, [3, 4]); g.globalAlpha = 1; g.strokeRect(px(back[0]) - 3, py(back[1]) - 3, 6, 6) }
    g.globalAlpha = 1; g.beginPath(); g.arc(px(there[0]), py(there[1]), 4, 0, 7); g.fill()
  }
}
function trips() {  // for each frame the mean way from a point to where it comes home, in both worlds
  return data.steps.map((_, f) => {
    let sum = 0
    for (const [k, from] of [[1, data.a], [3, data.b]]) for (let i = 0; i < N; i++) {
      const at = f * size + (k * N + i) * 2, [x, y] = [0, 1].map(d => bytes[at + d] / 100 * data.reach - from[i][d])
      sum += Math.hypot(x, y)
    }
    return sum / (2 * N)
  })
}
function curve(c, lines, mark, top, at) {  // at: the step of each number
  const [g, w, h] = canvas(c), col = colours(), last = data.steps.at(-1), px = s => 30 + s / last * (w - 34), py = v => h - 6 - Math.min(v, top) / top * (h - 14)
  g.font = '11px system-ui'; g.fillStyle = col.soft; g.strokeStyle = col.rule
  for (const v of [0, top / 2, top]) { g.fillText(v.toFixed(1), 2, py(v) + 4); g.beginPath(); g.moveTo(30, py(v)); g.lineTo(w, py(v)); g.stroke() }
  if (mark) { g.strokeStyle = col.soft; g.setLineDash([4, 4]); g.beginPath(); g.moveTo(30, py(mark)); g.lineTo(w, py(mark)); g.stroke(); g.setLineDash([]) }
  for (const [line, colour] of lines) { g.strokeStyle = colour; g.lineWidth = 1.5; g.beginPath(); line.forEach((v, i) => i ? g.lineTo(px(at(i, line)), py(v)) : g.moveTo(px(at(i, line)), py(v))); g.stroke() }
  const x = px(data.steps[slider.value])
  g.strokeStyle = col.ink; g.lineWidth = 1; g.beginPath(); g.moveTo(x, 0); g.lineTo(x, h); g.stroke()
}
function draw() {
  const at = slider.value * size, col = colours(), every = (i, line) => i / Math.max(1, line.length - 1) * data.steps.at(-1)
  const [left, right] = $$('.plane'), [players, trip] = $$('.curve')
  plane(left, at, data.a, data.b, 0); plane(right, at, data.b, data.a, 1)
  curve(players, [[film.losses.D, col.c[0]], [film.losses.G, col.c[1]]], .25, 1, every)
  curve(trip, [[trips(), col.c[2]]], 0, 2, i => data.steps[i])
  $('output').textContent = 'step ' + data.steps[slider.value]
}
function choose(name) {
  film = data.films[name]; bytes = decode(film.frames)
  for (const b of $$('.films button')) b.setAttribute('aria-pressed', b.dataset.film === name)
  const f = film.facts
  $('.note').textContent = data.notes[name] || ''
  $('.facts').textContent = `After ${data.steps.at(-1)} steps: ${f.reached} of 4 clusters of B reached, each missed by ${f['missed by'].toFixed(2)}; round trip off by ${f['round trip'].toFixed(2)}; D ${f.D.toFixed(2)}, G ${f.G.toFixed(2)} (mean of the last hundred steps).`
  draw()
}
function play(on) {
  clearInterval(playing); playing = 0
  if (on) { if (slider.value === slider.max) slider.value = 0; playing = setInterval(() => { if (slider.value === slider.max) return play(false); slider.value++; draw() }, 250) }
  $('.play').textContent = on ? '❚❚ pause' : '▶ play'
}
let group = ''
for (const name of names) {
  const [head, label] = name.split(': ')
  if (head !== group) { const b = document.createElement('b'); b.textContent = group = head; $('.films').append(b) }
  const button = document.createElement('button'); button.textContent = label; button.dataset.film = name
  button.onclick = () => choose(name); $('.films').append(button)
}
slider.oninput = () => { play(false); draw() }
$('.play').onclick = () => play(!playing)
$('.there').onchange = $('.back').onchange = draw
addEventListener('resize', draw)
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw)
slider.value = slider.max
choose(names[0])
