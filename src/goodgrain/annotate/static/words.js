// What the page says.

const number = (value) => String(Number(value.toFixed(2)));
const count = (n, one, many) => `${n} ${n === 1 ? one : many}`;
const answers = (n) => count(n, "answer", "answers");

export function moneyText(round, unsent) {
  if (!round) return "Nothing spent yet";
  const left = Math.max(0, round.budget - round.spent);
  const way = unsent ? ` · ${unsent} on the way` : "";
  return `${number(round.spent)} of ${number(round.budget)} spent, ${number(left)} left${way}`;
}

export function countsText(round) {
  if (!round) return "";
  const parts = [
    [round.in_distribution, "with a class"],
    [round.ood, "none of these"],
    [round.unsure, "unsure"],
    [round.unresolved, "contradicted"],
    [round.skipped, "skipped"],
  ];
  return parts.filter(([n]) => n).map(([n, name]) => `${n} ${name}`).join(" · ");
}

export const lastText = (last, named) => (last ? `Last: ${named(last.answer)}` : "");

export function bannerText(outbox, trouble, named) {
  const n = outbox.waiting.length;
  const kept = n ? `${n === 1 ? "the answer is" : `${n} answers are`} kept in this browser and will be sent again` : "";
  if (outbox.volatile) return `This browser keeps nothing for later: leave this page open until ${answers(n)} have been sent.`;
  if (trouble?.status === 507) return `Disk full: ${kept || "no images can be handed out until there is room"}.`;
  if (trouble?.status === 0) return `The server cannot be reached: ${kept || "trying again"}.`;
  if (trouble?.status === 401) {
    return `The server was started with another token${kept ? `: ${kept}` : ""}. Open the address that it printed.`;
  }
  if (trouble) return `${trouble.message}${kept ? ` Meanwhile ${kept}.` : ""}`;
  const [first] = outbox.refused;
  return first ? `The session did not take the answer “${named(first.answer)}” for ${first.id}: ${first.why}` : "";
}

// Headline and sentence between rounds.
export function overText({ desk, ready, looking, unsent, canAdvance }) {
  const { round, job, held } = desk.state;
  if (ready) return [`Round ${round.number} is ready`, `${round.strategy} has chosen what to ask for ${number(round.budget)}.`];
  if (looking && !desk.over) return ["Where the session stands", "The round is still open."];
  if (job.running) return [`After round ${desk.round}`, "The model learns from the answers, and chooses the next images."];
  const others = held ? ` ${count(held, "image is", "images are")} still with other annotators.` : "";
  const wait = unsent ? ` ${answers(unsent)} on the way.` : "";
  const end = canAdvance || others || wait ? "" : " Thank you: there is nothing more to do here.";
  const why = {
    budget: held ? "The rest of its money is kept for images that wait for an answer." : "Its money is spent.",
    items: "No images are left to ask you about.",
    closed: "It is closed.",
  }[desk.over];
  return [`Round ${desk.round} is over`, `${why}${others}${wait}${end}`];
}
