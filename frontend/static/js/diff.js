// Marks what two texts do not share, in place: a longest common subsequence over their words, without the one or two
// words between longer differences, because a lone "the" that both happen to have is no common part.

// Beyond this the table grows past what a key press may cost.
const MOST_CELLS = 12_000_000;
const SHORT = 2; // words

// Compares word by word; texts too long for that piece by piece: paragraphs, lines of code, cells of a table.
export function mark(a, b) {
  for (const cut of [intoWords, intoPieces]) {
    const left = partsOf(a, cut);
    const right = partsOf(b, cut);
    const common = commonWords(left.map((part) => part.text), right.map((part) => part.text));
    if (!common) continue;
    wrap(left.filter((_, i) => !common[0].has(i)));
    wrap(right.filter((_, i) => !common[1].has(i)));
    return;
  }
}

export function unmark(root) {
  for (const found of root.querySelectorAll("mark.differs")) found.replaceWith(...found.childNodes);
  root.normalize();
}

// Returns the indices in `a` and in `b` that belong to the common subsequence; null when the texts are too long.
export function commonWords(a, b) {
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let endA = a.length;
  let endB = b.length;
  while (endA > start && endB > start && a[endA - 1] === b[endB - 1]) {
    endA -= 1;
    endB -= 1;
  }
  const inA = new Set();
  const inB = new Set();
  for (let i = 0; i < start; i += 1) inA.add(i), inB.add(i);
  for (let i = endA, j = endB; i < a.length; i += 1, j += 1) inA.add(i), inB.add(j);
  const rows = endA - start;
  const columns = endB - start;
  if (rows * columns > MOST_CELLS) return null;
  const width = columns + 1;
  const length = new Uint16Array((rows + 1) * width); // length of the best match of the two tails
  for (let i = rows - 1; i >= 0; i -= 1) {
    for (let j = columns - 1; j >= 0; j -= 1) {
      length[i * width + j] =
        a[start + i] === b[start + j]
          ? length[(i + 1) * width + j + 1] + 1
          : Math.max(length[(i + 1) * width + j], length[i * width + j + 1]);
    }
  }
  const runs = [];
  for (let i = 0, j = 0; i < rows && j < columns; ) {
    if (a[start + i] === b[start + j]) {
      const last = runs.at(-1);
      if (last && last.i + last.size === i && last.j + last.size === j) last.size += 1;
      else runs.push({ i, j, size: 1 });
      i += 1;
      j += 1;
    } else if (length[(i + 1) * width + j] >= length[i * width + j + 1]) i += 1;
    else j += 1;
  }
  for (const [n, { i, j, size }] of runs.entries()) {
    const before = runs[n - 1] ?? { i: 0, j: 0, size: 0 };
    const after = runs[n + 1] ?? { i: rows, j: columns };
    const differBefore = Math.max(i - before.i, j - before.j) - before.size;
    const differAfter = Math.max(after.i - i, after.j - j) - size;
    if (size <= SHORT && size <= differBefore && size <= differAfter) continue;
    for (let k = 0; k < size; k += 1) inA.add(start + i + k), inB.add(start + j + k);
  }
  return [inA, inB];
}

// Parts with the text node and offset each begins at.
function partsOf(root, cut) {
  const parts = [];
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT, (node) =>
    node.parentElement.closest("button") ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT,
  );
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    for (const [text, index] of cut(node.data)) if (text.trim()) parts.push({ text, node, index });
  }
  return parts;
}

// Languages without spaces are cut by the browser's segmenter.
const segmenter = "Segmenter" in Intl ? new Intl.Segmenter(undefined, { granularity: "word" }) : null;

function intoWords(text) {
  if (segmenter) return [...segmenter.segment(text)].map((part) => [part.segment, part.index]);
  return [...text.matchAll(/\S+/g)].map((match) => [match[0], match.index]);
}

function intoPieces(text) {
  return [...text.matchAll(/\S.*/g)].map((match) => [match[0], match.index]);
}

// From the end, because cutting a text node moves what comes after the cut. Neighbours share one mark.
function wrap(words) {
  for (let last = words.length - 1; last >= 0; ) {
    let first = last;
    while (first > 0 && joins(words[first - 1], words[first])) first -= 1;
    const { node, index } = words[first];
    const range = document.createRange();
    range.setStart(node, index);
    range.setEnd(node, words[last].index + words[last].text.length);
    const found = document.createElement("mark");
    found.className = "differs";
    range.surroundContents(found);
    last = first - 1;
  }
}

function joins(before, after) {
  if (before.node !== after.node) return false;
  return before.node.data.slice(before.index + before.text.length, after.index).trim() === "";
}
