// Stored trainings replayed as a race: tracks of the words that each softmax has read, and its perplexity over time.
import {html, set, svg, whole} from '../../kit/static/dom.js';

const REPLAY = 12;               // seconds that the whole race takes on the page
const ROW = 22, TOP = 22;        // of a track; above the first one
const MARKS = {                  // one grammar: a filled circle is measured, a star is planned
  full: 'M-6,0a6,6 0 1,0 12,0a6,6 0 1,0 -12,0', adaptive: 'M-6,0a6,6 0 1,0 12,0a6,6 0 1,0 -12,0',
  'planned-0.75': 'M0,-9 2.2,-3 8.6,-2.8 3.5,1.2 5.3,7.3 0,3.7 -5.3,7.3 -3.5,1.2 -8.6,-2.8 -2.2,-3Z',
  hierarchical: 'M-6,5 0,-6 6,5Z'};

export const clock = seconds => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;
const spoken = seconds => `${Math.floor(seconds / 60)} minutes ${Math.floor(seconds % 60)} seconds`;

/** How far a runner is: the share of its words that it has read. */
export const share = (runner, seconds) => Math.min(1, seconds / runner.seconds);

/** Places of a runner's line up to a moment: words read for the first time, then from epoch to epoch. */
export function path(runner, seconds) {
  const points = [...runner.line.filter(([s]) => s < runner.epochs[0][0]), ...runner.epochs], out = [];
  for (const [i, [s, y]] of points.entries()) {
    if (s <= seconds) { out.push([s, y]); continue; }
    if (i) {
      const [s0, y0] = points[i - 1], part = (seconds - s0) / (s - s0);
      out.push([seconds, Math.exp(Math.log(y0) + part * Math.log(y / y0))]);
    }
    break;
  }
  return out;
}

/** What is said at a moment: who has finished, and where the full softmax is then. */
export function story(runners, seconds, bet = null) {
  const full = runners.find(r => r.name === 'full'), done = runners.filter(r => r.seconds <= seconds);
  if (!seconds) return ['How many times sooner than the full softmax do the authors’ cutoffs finish? Bet, then press Play.'];
  if (done.length < runners.length) {
    const last = done.filter(r => r !== full).sort((a, b) => b.seconds - a.seconds)[0];
    if (!last) return ['All read the same words, each at its own speed.'];
    return [`${last.label[0].toUpperCase()}${last.label.slice(1)} finished at ${clock(last.seconds)}. The full softmax has read `,
      `${Math.floor(100 * share(full, seconds))} %`, '.'];
  }
  const price = name => {
    const one = runners.find(r => r.name === name), more = one.epochs.at(-1)[1] / full.epochs.at(-1)[1] - 1;
    return `${(full.seconds / one.seconds).toFixed(1)} times sooner, ${Math.abs(100 * more).toFixed(0)} % ${more < 0 ? 'better' : 'worse'}`;
  };
  return ['The authors’ cutoffs: ', price('adaptive'), '. The planned ones: ', price('planned-0.75'),
    `.${bet ? ` Your bet: ${bet} times.` : ''}`];
}

/** The row of each label that ends at these places, from left to right, so that none of `room` pixels lies on another. */
export function stacked(ends, room) {
  const last = [];
  return ends.map(x => {
    let row = last.findIndex(before => before < x - room);
    if (row < 0) row = last.length;
    last[row] = x;
    return row;
  });
}

export function mountRace(root, data, bet = null, heard = () => {}) {
  const {runners} = data, end = Math.max(...runners.map(r => r.seconds)), total = runners[0].words;
  const lowest = Math.min(...runners.flatMap(r => r.epochs.map(([, y]) => y))) / 1.9;
  const highest = 3.2 * Math.max(...runners.map(r => r.epochs[0][1]));
  const begin = Math.min(...runners.map(r => r.line[0][0]));
  const state = {seconds: 0, playing: false};
  const still = matchMedia('(prefers-reduced-motion: reduce)');
  let width = 0, frame = 0, timer = 0, parts = [], place;

  root.classList.add('adasoft-race');
  const line = html('p', {class: 'story', role: 'status'}, root);
  const controls = html('div', {class: 'controls'}, root);
  const button = (text, act, kind) => {
    const node = html('button', {type: 'button', class: kind ?? ''}, controls, text);
    node.addEventListener('click', act);
    return node;
  };
  const asked = html('label', {class: 'bet'}, controls, 'Your bet ');
  const guess = html('input', {type: 'number', min: 1, max: 100, step: .5, 'aria-label': 'your bet: times sooner'}, asked);
  asked.append(' times sooner');
  const playing = button('Play', () => (state.playing ? pause() : play()), 'primary');
  const betting = () => { guess.disabled = bet !== null && (guess.disabled || state.seconds > 0); };
  if (bet !== null) { guess.value = bet; guess.disabled = true; }    // the first bet counts
  guess.addEventListener('change', () => {
    const value = guess.valueAsNumber;
    if (!(value >= 1 && value <= 100)) { guess.value = bet ?? ''; return; }
    bet = value; heard(value); show();
  });
  const scrub = html('input', {type: 'range', min: 0, max: 5 * Math.ceil(end / 5), step: 5, value: 0, 'aria-label': 'time on the clock'}, controls);
  const shown = html('output', {class: 'clock'}, controls);
  scrub.addEventListener('input', () => { pause(); go(Math.min(end, Number(scrub.value))); });
  const own = event => {                                     // else JupyterLab takes keys for commands
    if (event.key === 'Escape') { root.closest('.jp-Cell')?.focus(); return; }
    if (event.key !== 'Tab') event.stopPropagation();
  };
  controls.addEventListener('keydown', own);

  const stage = svg('svg', {role: 'img'}, root);

  const Y = value => place.top + place.height * Math.log(highest / value) / Math.log(highest / lowest);
  // on a logarithmic clock, a runner that is some times as fast has the same curve, moved to the left
  const X = seconds => place.left + (place.right - place.left) * Math.log(Math.max(seconds, begin) / begin) / Math.log(end / begin);

  function arrange() {
    width = Math.max(300, root.clientWidth || 900);
    const wide = width >= 900, beside = width >= 460, row = beside ? ROW : ROW + 14;   // names beside the tracks, or above
    const tracks = {left: 4 + (wide ? 206 : beside ? 116 : 0), right: width - 118}, top = TOP + row * runners.length + (beside ? 30 : 46);
    place = {left: 44, right: width - 12, top, height: wide ? 190 : 170};
    line.style.minHeight = beside ? '' : '6em';                // no sentence moves what stands below it
    stage.replaceChildren();
    const height = top + place.height + 42;
    set(stage, {width, height, viewBox: `0 0 ${width} ${height}`});
    const text = (x, y, words, at = {}) => svg('text', {x, y, ...at}, stage, words);
    text(4, 12, `Words read, of ${(total / 1e6).toFixed(1)} million in ${runners[0].epochs.length} epochs`, {class: 'head'});
    const legend = text(4, top - (beside ? 10 : 26), '');
    svg('tspan', {class: 'head'}, legend, 'Perplexity, lower is better.');
    svg('tspan', beside ? {dx: 6} : {x: 4, dy: 16}, legend, `Curve: new words${wide ? ' of the first epoch, as they are read' : ''}. ●: validation part after each epoch`);
    for (const value of [50, 60, 70, 80, 100, 120, 150, 200, 300]) {
      if (value <= lowest || value >= highest) continue;
      svg('line', {x1: place.left, x2: place.right, y1: Y(value), y2: Y(value), class: 'grid'}, stage);
      text(place.left - 6, Y(value) + 4, value, {'text-anchor': 'end'});
    }
    const bottom = place.top + place.height;
    for (const minutes of [.02, .05, .1, .2, .5, 1, 2, 5, 10, 20, 50, 100, 200, 500]) {
      if (60 * minutes > begin && 60 * minutes <= end) text(X(60 * minutes), bottom + 16, minutes, {'text-anchor': 'middle'});
    }
    text(place.right, bottom + 34, 'minutes of training, logarithmic', {'text-anchor': 'end'});
    // the bet is a time: where it lies on the clock, and how far the full softmax is then
    const onClock = svg('line', {y1: place.top, y2: bottom, class: 'guess'}, stage), said = text(0, place.top + 11, '', {class: 'mine'});
    const hand = svg('line', {y1: place.top, y2: bottom, class: 'hand'}, stage);
    const clip = `race-${Math.random().toString(36).slice(2)}`;
    svg('rect', {x: place.left, y: place.top, width: place.right - place.left + 12, height: place.height},
      svg('clipPath', {id: clip}, svg('defs', {}, stage)));
    parts = runners.map((runner, i) => {
      const y = TOP + i * row + (beside ? 0 : 13), kind = `run ${runner.name.replace(/\W/g, '-')}`;
      text(4, beside ? y + 11 : y - 5, wide ? runner.label : runner.short, {class: `name ${kind}`});
      svg('rect', {x: tracks.left, y, width: tracks.right - tracks.left, height: 14, rx: 7, class: 'track'}, stage);
      return {
        tracks, y: y + 7, fill: svg('rect', {x: tracks.left, y, height: 14, rx: 7, class: `fill ${kind}`}, stage),
        mark: svg('path', {d: MARKS[runner.name], class: `mark ${kind}`}, stage),
        told: text(tracks.right + 14, y + 12, ''),
        curve: svg('polyline', {class: `curve ${kind}`, 'clip-path': `url(#${clip})`}, stage),
        join: svg('polyline', {class: `join ${kind}`, 'clip-path': `url(#${clip})`}, stage),
        head: svg('path', {d: MARKS[runner.name], class: `mark ${kind}`}, stage),
        circles: runner.epochs.map(([s, value]) => svg('circle', {cx: X(s), cy: Y(value), r: 4.5, class: `mark ${kind}`}, stage)),
        leader: svg('line', {class: 'leader'}, stage), name: text(0, 0, '', {class: `end ${kind}`})};
    });
    const onTrack = svg('line', {y1: TOP - 4, y2: TOP + 18, class: 'guess'}, stage), when = text(0, TOP - 8, '', {class: 'mine'});
    parts.hand = hand; parts.bet = {onClock, said, onTrack, when};
    show();
  }

  function show() {
    const now = state.seconds;
    parts.forEach((part, i) => {
      const runner = runners[i], done = share(runner, now), points = path(runner, now), length = part.tracks.right - part.tracks.left;
      set(part.fill, {width: done * length});
      set(part.mark, {transform: `translate(${part.tracks.left + done * length},${part.y})`});
      part.told.textContent = done < 1 ? (now ? `${Math.floor(100 * done)} %` : '') : `done at ${clock(runner.seconds)}`;
      const first = runner.epochs[0][0], drawn = places => places.map(([s, y]) => `${X(s).toFixed(1)},${Y(y).toFixed(1)}`).join(' ');
      set(part.curve, {points: drawn(points.filter(([s]) => s < first))});   // other words: not joined to the validation part
      set(part.join, {points: drawn(points.filter(([s]) => s >= first))});
      const [s, y] = points.at(-1) ?? [0, Infinity], seen = y < highest;
      part.head.style.display = seen ? '' : 'none';
      if (seen) set(part.head, {transform: `translate(${X(s).toFixed(1)},${Y(y).toFixed(1)})`});
      part.circles.forEach((circle, k) => { circle.style.display = runner.epochs[k][0] <= now && k + 1 < runner.epochs.length ? '' : 'none'; });
    });
    parts.forEach(part => { part.name.textContent = ''; part.leader.style.display = 'none'; });
    const ended = runners.map((_, i) => i).filter(i => runners[i].seconds <= now).sort((i, j) => runners[i].seconds - runners[j].seconds);
    const rows = stacked(ended.map(i => X(runners[i].seconds)), 130);
    ended.forEach((i, k) => {                                 // under the curves, where nothing else is
      const x = X(runners[i].seconds), value = runners[i].epochs.at(-1)[1], y = Y(lowest) - 42 + 17 * rows[k];
      set(parts[i].name, {x: x + 4, y, 'text-anchor': 'end'});
      parts[i].name.textContent = `${runners[i].short}: ${value.toFixed(1)}`;
      parts[i].leader.style.display = '';
      set(parts[i].leader, {x1: x, y1: Y(value) + 9, x2: x, y2: y - 11});
    });
    betting();
    for (const part of Object.values(parts.bet)) part.style.display = bet === null ? 'none' : '';
    if (bet !== null) {
      const {left, right} = parts[0].tracks, x = X(end / bet), there = left + (right - left) / bet, last = x > width - 150;
      set(parts.bet.onClock, {x1: x, x2: x});
      set(parts.bet.said, {x: x + (last ? -5 : 5), 'text-anchor': last ? 'end' : 'start'});
      parts.bet.said.textContent = `your bet: ${clock(end / bet)}`;
      set(parts.bet.onTrack, {x1: there, x2: there});
      set(parts.bet.when, {x: Math.max(there, 266), 'text-anchor': there > right - 150 ? 'end' : 'start'});
      parts.bet.when.textContent = `your bet: ${clock(end / bet)}`;
    }
    set(parts.hand, {x1: X(now), x2: X(now)});
    scrub.value = now;
    scrub.setAttribute('aria-valuetext', spoken(now));
    shown.textContent = `${clock(now)} of ${clock(end)}`;
    stage.setAttribute('aria-label', `After ${spoken(now)}: ` + runners.map((r, i) => {
      const points = path(r, now), value = points.at(-1)?.[1];
      return `${r.label} has read ${Math.floor(100 * share(r, now))} percent${value ? `, perplexity ${value.toFixed(1)}` : ''}`;
    }).join('; '));
    const told = story(runners, now, bet), whole_text = told.join('');
    if (line.textContent !== whole_text) {
      line.replaceChildren(...told.map((part, i) => (i % 2 ? html('strong', {}, null, part) : part)));
    }
  }
  function go(seconds) { state.seconds = seconds; show(); }
  function play() {
    if (state.seconds >= end) go(0);
    state.playing = true; playing.textContent = 'Pause';
    if (still.matches) {                                      // no motion: eight pictures
      const next = () => { go(Math.min(end, state.seconds + end / 8)); if (state.seconds >= end) pause(); else timer = setTimeout(next, 1500); };
      next(); return;
    }
    let before = performance.now();
    const next = now => {
      go(Math.min(end, state.seconds + Math.max(0, now - before) / 1000 * end / REPLAY)); before = now;
      if (state.seconds >= end) pause(); else frame = requestAnimationFrame(next);
    };
    frame = requestAnimationFrame(next);
  }
  function pause() { cancelAnimationFrame(frame); clearTimeout(timer); state.playing = false; playing.textContent = 'Play'; }

  const note = html('details', {class: 'note'}, root);
  note.addEventListener('keydown', own);
  html('summary', {}, note, `Recorded, replayed in ${REPLAY} seconds`);
  html('p', {}, note, `${data.provenance}.`);
  const observer = new ResizeObserver(() => { if (root.clientWidth && Math.abs(root.clientWidth - width) > 1) arrange(); });
  arrange();
  observer.observe(root);
  return {state, play, pause, go, destroy() { observer.disconnect(); pause(); root.replaceChildren(); }};
}

export default {render({model, el}) {
  const race = mountRace(el, model.get('race'), model.get('bet'), bet => { model.set('bet', bet); model.save_changes(); });
  const lost = () => el.classList.toggle('jupyter-widgets-disconnected');
  model.on('comm_live_update', lost);
  return () => { model.off('comm_live_update', lost); race.destroy(); };
}};
