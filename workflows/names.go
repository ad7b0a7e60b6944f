package workflows

import "go.temporal.io/sdk/temporal"

// Names are public: people type them, dashboards and scripts select by them. Add,
// never rename.

// Workflow types.
const (
	RunPipelineName        = "RunPipeline"
	GenerateProfilesName   = "GenerateProfiles"
	BuildDialoguesName     = "BuildDialogues"
	SampleResponsesName    = "SampleResponses"
	JudgeResponsesName     = "JudgeResponses"
	ReverseConstraintsName = "ReverseConstraints"
	BuildPairsName         = "BuildPairs"
	ComputeReferenceName   = "ComputeReference"
	TrainModelName         = "TrainModel"
	EvaluateModelName      = "EvaluateModel"
	RefreshDatasetName     = "RefreshDataset"
	ManageNodePoolName     = "ManageNodePool"
	PromoteModelName       = "PromoteModel"
	RunExperimentName      = "RunExperiment"
)

// Activity types. Each is the method's own name.
const (
	openStage        = "OpenStage"
	listShards       = "ListShards"
	closeStage       = "CloseStage"
	recordFailures   = "RecordFailures"
	selectFailed     = "SelectFailed"
	describeModel    = "DescribeModel"
	describeBase     = "DescribeBase"
	resolveInit      = "ResolveInit"
	planTraining     = "PlanTraining"
	checkRendering   = "CheckRendering"
	generateShard    = "GenerateShard"
	dialogueShard    = "DialogueShard"
	describePersonas = "DescribePersonas"
	sampleShard      = "SampleShard"
	judgeShard       = "JudgeShard"
	calibrateJudge   = "CalibrateJudge"
	reverseShard     = "ReverseShard"
	pairShard        = "PairShard"
	publishVersion   = "PublishVersion"
	referencePairs   = "ReferencePairs"
	trainPolicy      = "TrainPolicy"
	evaluateShard    = "EvaluateShard"
	compareArms      = "CompareArms"
	writeReport      = "WriteReport"
	findNewProfiles  = "FindNewProfiles"
	openGang         = "OpenGang"
	requestNodes     = "RequestNodes"
	returnNodes      = "ReturnNodes"
	findGoneHolders  = "FindGoneHolders"
	promoteModel     = "PromoteModel"
	openExperiment   = "OpenExperiment"
	tabulateArms     = "TabulateArms"
)

// Task queues, one per resource class.
const (
	QueueWorkflows = "rpo"
	QueueIO        = "rpo-io"
	QueueLLM       = "rpo-llm"
	QueueGPU       = "rpo-gpu"
)

// HostQueue is the queue of one host of a pool: one node of a gang at a time.
func HostQueue(host string) string { return QueueGPU + "-" + host }

// PoolQueue is the queue that all hosts of a pool serve, for a look at a model.
func PoolQueue(pool string) string { return "rpo-pool-" + pool }

// Queries, and updates with signals of the same names.
const (
	QueryStatus       = "status"
	UpdateRetryFailed = "retry_failed"
	UpdateSkipFailed  = "skip_failed"
	UpdateStop        = "stop"
	UpdateRaiseBudget = "raise_budget"
	UpdatePause       = "pause"
	UpdateResume      = "resume"
	UpdateDrain       = "drain"
	UpdateUndrain     = "undrain"
	UpdateEvict       = "evict"
	UpdateRelease     = "release"
)

// Signals between a pool and those who use it.
const (
	SignalRegisterNode = "register_node"
	SignalNodeLeaves   = "node_leaves"
	SignalLeaseNodes   = "lease_nodes"
	SignalReleaseNodes = "release_nodes"
	SignalNodesLeased  = "nodes_leased"
)

// Search attributes.
var (
	AttributeStage        = temporal.NewSearchAttributeKeyKeyword("RpoStage")
	AttributeStatus       = temporal.NewSearchAttributeKeyKeyword("RpoStatus")
	AttributeDataset      = temporal.NewSearchAttributeKeyKeyword("RpoDataset")
	AttributeModel        = temporal.NewSearchAttributeKeyKeyword("RpoModel")
	AttributeJob          = temporal.NewSearchAttributeKeyKeyword("RpoJob")
	AttributeShardsTotal  = temporal.NewSearchAttributeKeyInt64("RpoShardsTotal")
	AttributeShardsFailed = temporal.NewSearchAttributeKeyInt64("RpoShardsFailed")
	AttributeScore        = temporal.NewSearchAttributeKeyFloat64("RpoScore")
)
