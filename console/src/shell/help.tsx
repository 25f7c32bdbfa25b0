// What each page is, in a few words for whoever opens it for the first time.
import { Link } from '@tanstack/react-router'

interface Help {
  path: RegExp
  text: string
  page: string
}

const helps: Help[] = [
  { path: /^\/$/, page: 'guide/start', text: 'What happens this second: events as they come in, the decisions made for them, and what waits for you. Hover over the stream to hold it.' },
  { path: /^\/people$/, page: 'guide/people', text: 'Everybody who ever did something, known or not. Find one by e-mail, phone, user or device id.' },
  { path: /^\/people\//, page: 'guide/people', text: 'One person: what they did, what is known and foretold of them, what would be said to them now and why, and why these devices and names are one person.' },
  { path: /^\/audiences/, page: 'guide/audiences', text: 'Groups of people for whom a condition holds, kept up to date with every event. Nobody uploads a list.' },
  { path: /^\/decisions/, page: 'guide/decisions', text: 'Every decision with its reason, as it was made: what was possible, which rule took what away, and what the rest were worth.' },
  { path: /^\/actions/, page: 'guide/actions', text: 'What may be said, offered, asked or done, and what each brings. Rapport picks the one worth most for a person now, or nothing.' },
  { path: /^\/placements/, page: 'guide/actions', text: 'The slots where something may appear, and which actions compete for each.' },
  { path: /^\/board/, page: 'guide/actions', text: 'Levers over recorded moments: what would have come first, and what it would have been worth. Nothing changes until you publish.' },
  { path: /^\/portfolio/, page: 'guide/actions', text: 'Every small opportunity, whether it works, loses or is still learning, and what happens next by itself.' },
  { path: /^\/learning/, page: 'guide/decisions', text: 'How well decisions learn: how much is tried out, what that costs, and whether what was expected came.' },
  { path: /^\/insights/, page: 'guide/audiences', text: 'Groups for whom an outcome is more or less frequent, found among everybody and checked on people the search had not seen. They are associations; an experiment tells what causes it.' },
  { path: /^\/content/, page: 'channels', text: 'What is said, as a person would read it, the channels it goes through and how they do, and the addresses nothing is sent to.' },
  { path: /^\/products\/recalls\/./, page: 'guide/products', text: 'One recall: who was reached, who took note, and who cannot be reached and why. Remind those who did not take note, or note it for them.' },
  { path: /^\/products\/rollouts/, page: 'updates', text: 'New software for items: a few at first, some held back to compare with, and a brake that stops it by itself.' },
  { path: /^\/products\/fleet/, page: 'maintenance', text: 'How all items fare by product and firmware. A bad firmware shows as one insight; below it what runs out or wants service next.' },
  { path: /^\/products/, page: 'guide/products', text: 'Items with a life of their own: where each has been, who owns it, what it reports, and what can be asked of it.' },
  { path: /^\/setup\/sources/, page: 'guide/setup', text: 'The programs that send events. Each has a key; paste its snippet where your events begin.' },
  { path: /^\/setup\/import/, page: 'import', text: 'A CSV of customers or of what they did becomes history: it updates what is known and causes no message.' },
  { path: /^\/setup\/quarantine/, page: 'guide/setup', text: 'Events that do not fit the tracking plan are held, not lost. Mend one and let it in, or change the plan and replay.' },
  { path: /^\/setup\/identity/, page: 'identity', text: 'Who is one person: questions the evidence alone does not settle, values that name nobody, and the rules.' },
  { path: /^\/setup\/config/, page: 'guide/setup', text: 'Every document the engine runs on: checked while you write, compared before it is live, taken back in one click, reviewed by a second person if you ask for that.' },
  { path: /^\/setup\/models/, page: 'predictions', text: 'What foretells value, churn and the next purchase, and how well each did on what came after.' },
  { path: /^\/setup\/deliveries/, page: 'channels', text: 'Where messages go, how each destination does, and what could not be delivered.' },
  { path: /^\/setup/, page: 'guide/setup', text: 'Who may sign in, what was changed by whom, and how the server does.' },
]

export default function HelpText({ path }: { path: string }) {
  const help = helps.find((candidate) => candidate.path.test(path))
  return (
    <div className="space-y-2 text-muted">
      <p>{help?.text ?? 'The documentation that ships with this version.'}</p>
      <Link to="/docs/$" params={{ _splat: help?.page ?? 'guide/start' }} className="link">
        Read more
      </Link>
    </div>
  )
}
