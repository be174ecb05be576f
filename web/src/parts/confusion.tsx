/* The confusion matrix as a table: rows are the truth, columns the answers; the darker, the more. */
import * as format from '../lib/format';
import type { Evaluation } from '../lib/shapes';
import { Card } from './basics';
import { Wide } from './wide';

export function Confusion({ value, classes }: { value: Evaluation; classes: string[] }) {
    const { confusion } = value;
    const worst = Math.max(1, ...confusion.flatMap((row, i) => row.filter((_, j) => i !== j)));
    return (
        <Card
            title="Confusion matrix"
            aside={
                <span class="muted num">
                    {format.percent(value.accuracy)} of {format.count(value.samples)} correct, loss{' '}
                    {format.loss(value.loss)}
                </span>
            }
        >
            <Wide label="Confusion matrix">
                <table
                    class="confusion"
                    data-long={classes.some((name) => name.length > 2) || undefined}
                >
                    <caption class="hidden">
                        Rows: the actual class. Columns: the predicted class.
                    </caption>
                    <thead>
                        <tr>
                            <th scope="col" class="corner">
                                actual \ predicted
                            </th>
                            {confusion.map((_, j) => (
                                <th key={j} scope="col">
                                    <span>{classes[j]}</span>
                                </th>
                            ))}
                        </tr>
                    </thead>
                    <tbody>
                        {confusion.map((row, i) => (
                            <tr key={i}>
                                <th scope="row">{classes[i]}</th>
                                {row.map((n, j) => (
                                    <td
                                        key={j}
                                        class={i === j ? 'right' : ''}
                                        title={`${classes[i]} answered as ${classes[j]}: ${n}`}
                                    >
                                        {i !== j && n > 0 && (
                                            <span
                                                class="shade"
                                                style={{ opacity: 0.06 + (0.34 * n) / worst }}
                                            />
                                        )}
                                        <span>{n || ''}</span>
                                    </td>
                                ))}
                            </tr>
                        ))}
                    </tbody>
                </table>
            </Wide>
        </Card>
    );
}
