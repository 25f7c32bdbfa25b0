export interface CalibrationPoint {
  predicted: number
  actual: number
  low?: number
  high?: number
  count: number
}

/** What was foretold of groups and what they did: on the dashed line both agree. */
export function Calibration({ points, write, of }: { points: CalibrationPoint[]; write: (n: number) => string; of: string }) {
  const all = points.flatMap((p) => [p.predicted, p.actual, p.low ?? p.actual, p.high ?? p.actual])
  const bottom = Math.min(0, ...all)
  const top = Math.max(...all, bottom + 0.0001)
  const at = (v: number) => ((v - bottom) / (top - bottom)) * 92 + 4
  const told = (p: CalibrationPoint) => `foretold ${write(p.predicted)}, happened ${write(p.actual)}${p.low !== undefined && p.high !== undefined ? `, 95 % interval ${write(p.low)} to ${write(p.high)}` : ''}, ${p.count} ${of}s`
  return (
    <>
      <svg role="img" aria-label={points.map(told).join('; ')} viewBox="0 0 100 100" className="mx-auto block aspect-square w-full max-w-[300px]">
        <line x1="4" y1="96" x2="96" y2="4" className="stroke-line-strong" strokeWidth="0.5" strokeDasharray="2 2" />
        <line x1="4" y1="96" x2="96" y2="96" className="stroke-line" strokeWidth="0.5" />
        <line x1="4" y1="4" x2="4" y2="96" className="stroke-line" strokeWidth="0.5" />
        {points.map((p, i) => (
          <g key={i} className="text-view">
            {p.low !== undefined && p.high !== undefined && <line x1={at(p.predicted)} x2={at(p.predicted)} y1={100 - at(p.low)} y2={100 - at(p.high)} className="stroke-current" strokeWidth="0.7" />}
            <circle cx={at(p.predicted)} cy={100 - at(p.actual)} r="1.6" className="fill-current">
              <title>{told(p)}</title>
            </circle>
          </g>
        ))}
      </svg>
      <p className="mt-1 text-center text-meta text-muted">
        Across: foretold. Up: happened. On the dashed line both agree; the axes run from {write(bottom)} to {write(top)}.
      </p>
    </>
  )
}
