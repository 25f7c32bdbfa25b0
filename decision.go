package rapport

// ActionType says what an action does for a person.
type ActionType string

// The action types.
const (
	ActionOffer          ActionType = "offer"
	ActionMessage        ActionType = "message"
	ActionRecommendation ActionType = "recommendation"
	ActionQuestion       ActionType = "question"
	ActionCommand        ActionType = "command"
	ActionContent        ActionType = "content"
)

// Decision is the fact that, for one person at one moment, the next best thing
// was chosen, or nothing was. It holds all that was known and weighed, so that
// it can be explained and learned from without being computed again.
type Decision struct {
	ID        string `json:"decisionId"` // "d_" and 26 characters
	Person    ID     `json:"personId"`
	Placement string `json:"placement"`
	Time      int64  `json:"time"` // Unix ms
	// Config and Model are the versions that decided.
	Config int64 `json:"config"`
	Model  int64 `json:"model"`
	// Seed fixes every random draw of the decision.
	Seed uint64 `json:"seed"`
	// Cause is what asked: "request", or the trigger and event that did.
	Cause   string `json:"cause"`
	Holdout bool   `json:"holdout"`
	// Items are the chosen actions in slot order; empty is the decision "nothing".
	Items []Choice `json:"items"`
	// Withheld is what a person in the holdout, or in the control group of an
	// action, would have been given: the counterfactual that lift is measured against.
	Withheld []Choice `json:"withheld,omitempty"`
	// Nothing says why nothing was chosen, in plain words; empty otherwise.
	Nothing string `json:"nothing,omitempty"`
	// Idle is the probability with which the first slot is left empty; with the
	// candidates' propensities it adds up to 1.
	Idle float64 `json:"idle"`
	// Candidates are all actions weighed or excluded, in config order.
	Candidates []Candidate `json:"candidates"`
	// Features are the inputs the scores were computed from.
	Features Fields `json:"features"`
	Context  Fields `json:"context"`
}

// Choice is one action given to the person.
type Choice struct {
	Action  string     `json:"action"`
	Type    ActionType `json:"kind"`
	Slot    int        `json:"slot"`
	Content Fields     `json:"content"`
	// Value is the expected value in the deployment's currency.
	Value float64 `json:"value"`
	// Propensity is the probability with which this action was chosen for its slot, in (0,1].
	Propensity float64 `json:"propensity"`
	Reason     string  `json:"reason"`
	// Explored is set when the action was taken by the uniform floor of
	// exploration rather than for its value.
	Explored bool `json:"explored,omitempty"`
	// Channel is how it is pushed, Purpose what the person must have consented
	// to; both empty for a slot on one's own site.
	Channel string `json:"channel,omitempty"`
	Purpose string `json:"purpose,omitempty"`
	// Lever names what of a marketer's wishes led to it ("weight", "share",
	// "priority"), and LeverCost what the best action would have been worth more.
	Lever     string  `json:"lever,omitempty"`
	LeverCost float64 `json:"leverCost,omitempty"`
	// Sending is when and how it goes out; nil for a slot on one's own site.
	Sending *Sending `json:"sending,omitempty"`
}

// Sending says when and through which channel something pushed goes out, and why so.
type Sending struct {
	// Hour is the hour of the day where the person is, 0 to 23.
	Hour int `json:"hour"`
	// ChannelPropensity and HourPropensity are the probabilities with which the
	// channel and the hour were chosen among those possible; 1 where there was no choice.
	ChannelPropensity float64 `json:"channelPropensity"`
	HourPropensity    float64 `json:"hourPropensity"`
	// Alike is the part of the day in which people like this one are active,
	// 1 (midnight to four) to 6; 0 while it is not known.
	Alike int `json:"alike,omitempty"`
	// Reason is why then and so, in plain words: "by push at 18:40 because ...".
	Reason string `json:"reason"`
}

// Candidate is one action as the arbitration saw it.
type Candidate struct {
	Action string `json:"action"`
	// Excluded names the rule that took it out ("condition", "consent", "cap",
	// "quiet hours", "holdout", "validity", "not on placement"), or is empty.
	Excluded string `json:"excluded,omitempty"`
	// Detail names the rule's id and the value that failed.
	Detail string `json:"detail,omitempty"`
	// Mean is the expected value before exploration, Score the drawn one the
	// ranking used; both in currency and zero if excluded.
	Mean  float64 `json:"mean,omitempty"`
	Score float64 `json:"score,omitempty"`
	// Propensity is the probability of being chosen for the first slot.
	Propensity float64 `json:"propensity,omitempty"`
	// Terms are the signed contributions that add up to Mean.
	Terms []Term `json:"terms,omitempty"`
}

// Term is one signed contribution to a score.
type Term struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}
