---@meta lgemini.types

--- The types of the API, for editors and checkers: what stands in `config` and in answers. Written by
-- scripts/reference.lua out of schema.lua; this file is never run and not installed.
-- luacheck: no max line length

---@class lgemini.AudioTranscription
---@field text string?
---@field finished boolean?
---@field language_code string?
---@field speaker_label string?
---@field words lgemini.TranscribedWord[]?

---@class lgemini.AudioTranscriptionConfig
---@field language_codes string[]?
---@field custom_vocabulary string[]?
---@field diarization boolean?
---@field word_timestamp boolean?

---@class lgemini.AuthConfig
---@field api_key string?

---@class lgemini.AuthToken

---@class lgemini.BatchEmbedContentsRequest
---@field requests lgemini.EmbedContentRequest[]?

---@class lgemini.BatchEmbeddingLine
---@field key string?
---@field metadata any?
---@field error lgemini.Status?
---@field response lgemini.SingleEmbedContentResponse?

---@class lgemini.BatchInputConfig
---@field file_name string?
---@field requests any?

---@class lgemini.BatchJob
---@field output lgemini.BatchOutput?
---@field input_config lgemini.BatchInputConfig?
---@field priority integer?
---@field webhook_config lgemini.WebhookConfig?

---@class lgemini.BatchLine
---@field key string?
---@field metadata any?
---@field error lgemini.Status?
---@field response lgemini.GenerateContentResponse?

---@class lgemini.BatchMetadata
---@field metadata table?

---@class lgemini.BatchOperation
---@field name string?
---@field metadata lgemini.BatchJob?
---@field done boolean?
---@field error lgemini.Status?
---@field response lgemini.BatchOutput?

---@class lgemini.BatchOutput
---@field responses_file string?
---@field inlined_responses lgemini.InlinedResponses?
---@field inlined_embed_content_responses lgemini.InlinedEmbedContentResponses?

---@class lgemini.BatchPredictionInput
---@field instances_format string?
---@field gcs_source lgemini.GcsSource?
---@field bigquery_source lgemini.BigQuerySource?

---@class lgemini.BatchPredictionJob
---@field name string?
---@field model string?
---@field display_name string?
---@field state string?
---@field create_time string?
---@field start_time string?
---@field update_time string?
---@field end_time string?
---@field error lgemini.Status?
---@field input_config lgemini.BatchPredictionInput?
---@field output_config lgemini.BatchPredictionOutput?
---@field output_info any?
---@field completion_stats any?

---@class lgemini.BatchPredictionOutput
---@field predictions_format string?
---@field gcs_destination lgemini.GcsDestination?
---@field bigquery_destination lgemini.BigQueryDestination?

---@class lgemini.BatchStats
---@field request_count integer?
---@field successful_request_count integer?
---@field failed_request_count integer?
---@field pending_request_count integer?

---@class lgemini.BigQueryDestination
---@field output_uri string?

---@class lgemini.BigQuerySource
---@field input_uri string?

---@class lgemini.Blob
---@field mime_type string?
---@field data string?  raw bytes
---@field display_name string?  Vertex AI only

---@class lgemini.CachedContent

---@class lgemini.Candidate
---@field token_count integer?
---@field avg_logprobs number?
---@field logprobs_result lgemini.LogprobsResult?

---@class lgemini.ChunkingConfig
---@field white_space_config lgemini.WhiteSpaceConfig?

---@class lgemini.api.Citation
---@field start_index integer?
---@field end_index integer?
---@field uri string?
---@field title string?
---@field license string?
---@field publication_date any?

---@class lgemini.CitationMetadata
---@field citations lgemini.api.Citation[]?  citationSources on the wire

---@class lgemini.CodeExecutionResult
---@field id string?
---@field outcome string?
---@field output string?

---@class lgemini.ComputerUse
---@field environment string?
---@field excluded_predefined_functions string[]?
---@field enable_prompt_injection_detection boolean?
---@field disabled_safety_policies string[]?  Gemini API only

---@class lgemini.Content

---@class lgemini.ContentEmbedding
---@field values number[]?

---@class lgemini.CountTokensConfig
---@field system_instruction lgemini.Content?
---@field tools lgemini.api.Tool[]?
---@field tool_config lgemini.ToolConfig?
---@field cached_content string?
---@field generation_config lgemini.GenerationConfig?

---@class lgemini.CountTokensRequest
---@field contents lgemini.Content[]?
---@field generate_content_request lgemini.GenerateContentRequest?

---@class lgemini.CountTokensResponse
---@field total_tokens integer?
---@field cached_content_token_count integer?
---@field prompt_tokens_details lgemini.ModalityTokenCount[]?
---@field cache_tokens_details lgemini.ModalityTokenCount[]?

---@class lgemini.CreateAuthTokenConfig
---@field uses integer?
---@field expire_time string?
---@field new_session_expire_time string?
---@field live_connect_constraints lgemini.LiveConnectConstraints?
---@field lock_additional_fields string[]?

---@class lgemini.CreateBatchConfig
---@field display_name string?
---@field webhook_config lgemini.WebhookConfig?
---@field priority integer?
---@field dest any?  Vertex AI only

---@class lgemini.CreateCachedContentConfig
---@field ttl string?
---@field expire_time string?
---@field contents lgemini.Content[]?
---@field system_instruction lgemini.Content?
---@field tools lgemini.api.Tool[]?
---@field tool_config lgemini.ToolConfig?
---@field display_name string?
---@field kms_key_name string?  Vertex AI only

---@class lgemini.CreateFileSearchStoreConfig
---@field display_name string?
---@field embedding_model string?

---@class lgemini.CreateInteractionRequest
---@field model string?
---@field agent string?
---@field input any?
---@field stream boolean?
---@field store boolean?
---@field background boolean?
---@field previous_interaction_id string?
---@field system_instruction any?
---@field tools any[]?
---@field generation_config lgemini.InteractionGenerationConfig?
---@field response_format any?
---@field safety_settings any[]?
---@field service_tier string?
---@field labels table?
---@field webhook_config any?
---@field environment any?

---@class lgemini.CustomMetadata
---@field key string?
---@field string_value string?
---@field numeric_value number?
---@field string_list_value lgemini.StringList?

---@class lgemini.DeleteConfig
---@field force boolean?

---@class lgemini.Document

---@class lgemini.DynamicRetrievalConfig
---@field mode string?
---@field dynamic_threshold number?

---@class lgemini.EmbedContentConfig
---@field task_type string?
---@field title string?
---@field output_dimensionality integer?
---@field mime_type string?  Vertex AI only
---@field auto_truncate boolean?  Vertex AI only
---@field document_ocr boolean?  Vertex AI only
---@field audio_track_extraction boolean?  Vertex AI only

---@class lgemini.EmbedContentRequest
---@field model string?
---@field content lgemini.Content?
---@field task_type string?
---@field title string?
---@field output_dimensionality integer?
---@field mime_type string?  Vertex AI only
---@field auto_truncate boolean?  Vertex AI only
---@field document_ocr boolean?  Vertex AI only
---@field audio_track_extraction boolean?  Vertex AI only

---@class lgemini.EmbedContentResponse
---@field embeddings lgemini.ContentEmbedding[]?
---@field usage_metadata lgemini.UsageMetadata?

---@class lgemini.Empty

---@class lgemini.ExecutableCode
---@field id string?
---@field language string?
---@field code string?

---@class lgemini.File
---@field update_time string?
---@field download_uri string?
---@field source string?
---@field video_metadata lgemini.FileVideoMetadata?

---@class lgemini.FileData
---@field mime_type string?
---@field file_uri string?
---@field display_name string?  Vertex AI only

---@class lgemini.FileEnvelope
---@field file lgemini.File?

---@class lgemini.FileSearch
---@field file_search_store_names string[]?
---@field top_k integer?
---@field metadata_filter string?

---@class lgemini.FileSearchStore
---@field embedding_model string?

---@class lgemini.FileVideoMetadata
---@field video_duration string?

---@class lgemini.FunctionCall
---@field id string?
---@field name string?
---@field args table?
---@field partial_args lgemini.PartialArg[]?
---@field will_continue boolean?

---@class lgemini.FunctionCallingConfig
---@field mode string?
---@field allowed_function_names string[]?
---@field stream_function_call_arguments boolean?  Vertex AI only

---@class lgemini.FunctionDeclaration
---@field name string?
---@field description string?
---@field parameters lgemini.Schema?
---@field parameters_json_schema any?
---@field response lgemini.Schema?
---@field response_json_schema any?
---@field behavior string?

---@class lgemini.FunctionResponse
---@field id string?
---@field name string?
---@field response table?
---@field parts lgemini.FunctionResponsePart[]?
---@field will_continue boolean?
---@field scheduling string?

---@class lgemini.FunctionResponsePart
---@field inline_data lgemini.Blob?
---@field file_data lgemini.FileData?

---@class lgemini.GcsDestination
---@field output_uri_prefix string?

---@class lgemini.GcsSource
---@field uris string[]?

---@class lgemini.GenerateContentConfig
---@field system_instruction lgemini.Content?
---@field tools lgemini.api.Tool[]?
---@field tool_config lgemini.ToolConfig?
---@field safety_settings lgemini.SafetySetting[]?
---@field cached_content string?
---@field service_tier string?
---@field labels table?
---@field model_armor_config any?  Vertex AI only
---@field temperature number?
---@field top_p number?
---@field top_k number?
---@field candidate_count integer?
---@field max_output_tokens integer?
---@field stop_sequences string[]?
---@field seed integer?
---@field presence_penalty number?
---@field frequency_penalty number?
---@field response_logprobs boolean?
---@field logprobs integer?
---@field response_mime_type string?
---@field response_schema lgemini.Schema?
---@field response_json_schema any?
---@field response_modalities string[]?
---@field media_resolution string?
---@field speech_config lgemini.SpeechConfig?
---@field thinking_config lgemini.ThinkingConfig?
---@field image_config lgemini.ImageConfig?
---@field audio_transcription_config lgemini.AudioTranscriptionConfig?
---@field enable_enhanced_civic_answers boolean?  Gemini API only
---@field routing_config any?  Vertex AI only
---@field model_selection_config any?  Vertex AI only
---@field audio_timestamp boolean?  Vertex AI only

---@class lgemini.GenerateContentRequest
---@field model string?
---@field contents lgemini.Content[]?
---@field generation_config lgemini.GenerationConfig?
---@field system_instruction lgemini.Content?
---@field tools lgemini.api.Tool[]?
---@field tool_config lgemini.ToolConfig?
---@field safety_settings lgemini.SafetySetting[]?
---@field cached_content string?
---@field service_tier string?
---@field labels table?
---@field model_armor_config any?  Vertex AI only

---@class lgemini.GenerateContentResponse
---@field model_status lgemini.ModelStatus?
---@field create_time string?

---@class lgemini.GenerateImagesConfig
---@field output_mime_type string?  mimeType on the wire
---@field output_compression_quality integer?  compressionQuality on the wire
---@field number_of_images integer?  sampleCount on the wire
---@field aspect_ratio string?
---@field image_size string?  sampleImageSize on the wire
---@field person_generation string?
---@field safety_filter_level string?  safetySetting on the wire
---@field guidance_scale number?
---@field language string?
---@field include_safety_attributes boolean?
---@field include_rai_reason boolean?
---@field output_gcs_uri string?  Vertex AI only
---@field negative_prompt string?  Vertex AI only
---@field seed integer?  Vertex AI only
---@field add_watermark boolean?  Vertex AI only
---@field labels any?  Vertex AI only
---@field enhance_prompt boolean?  Vertex AI only

---@class lgemini.GenerateImagesInstance
---@field prompt string?

---@class lgemini.GenerateImagesResponse
---@field generated_images lgemini.GeneratedImage[]?  predictions on the wire

---@class lgemini.GenerateVideosConfig
---@field last_frame lgemini.Image?
---@field reference_images lgemini.VideoReferenceImage[]?
---@field number_of_videos integer?  sampleCount on the wire
---@field duration_seconds integer?
---@field aspect_ratio string?
---@field resolution string?
---@field person_generation string?
---@field negative_prompt string?
---@field enhance_prompt boolean?
---@field webhook_config lgemini.WebhookConfig?  Gemini API only
---@field output_gcs_uri string?  Vertex AI only
---@field fps integer?  Vertex AI only
---@field seed integer?  Vertex AI only
---@field pubsub_topic string?  Vertex AI only
---@field generate_audio boolean?  Vertex AI only
---@field mask lgemini.VideoGenerationMask?  Vertex AI only
---@field compression_quality string?  Vertex AI only
---@field labels any?  Vertex AI only
---@field resize_mode string?  Vertex AI only

---@class lgemini.GenerateVideosInstance
---@field prompt string?
---@field image lgemini.Image?
---@field video lgemini.Video?
---@field last_frame lgemini.Image?
---@field reference_images lgemini.VideoReferenceImage[]?

---@class lgemini.GenerateVideosResponse
---@field generated_videos lgemini.GeneratedVideo[]?  generatedSamples on the wire
---@field rai_media_filtered_count integer?
---@field rai_media_filtered_reasons string[]?

---@class lgemini.GeneratedImage
---@field image_bytes string?  raw bytes; bytesBase64Encoded on the wire
---@field mime_type string?
---@field gcs_uri string?
---@field rai_filtered_reason string?
---@field content_type string?
---@field safety_attributes lgemini.SafetyAttributes?

---@class lgemini.GeneratedVideo
---@field video lgemini.Video?

---@class lgemini.GenerationConfig
---@field temperature number?
---@field top_p number?
---@field top_k number?
---@field candidate_count integer?
---@field max_output_tokens integer?
---@field stop_sequences string[]?
---@field seed integer?
---@field presence_penalty number?
---@field frequency_penalty number?
---@field response_logprobs boolean?
---@field logprobs integer?
---@field response_mime_type string?
---@field response_schema lgemini.Schema?
---@field response_json_schema any?
---@field response_modalities string[]?
---@field media_resolution string?
---@field speech_config lgemini.SpeechConfig?
---@field thinking_config lgemini.ThinkingConfig?
---@field image_config lgemini.ImageConfig?
---@field audio_transcription_config lgemini.AudioTranscriptionConfig?
---@field enable_enhanced_civic_answers boolean?  Gemini API only
---@field routing_config any?  Vertex AI only
---@field model_selection_config any?  Vertex AI only
---@field audio_timestamp boolean?  Vertex AI only

---@class lgemini.GetInteractionQuery
---@field stream boolean?
---@field last_event_id string?
---@field include_input boolean?

---@class lgemini.GoogleMaps
---@field enable_widget boolean?
---@field auth_config lgemini.AuthConfig?
---@field grounding_types any?  Vertex AI only

---@class lgemini.GoogleSearch
---@field search_types lgemini.SearchTypes?
---@field time_range_filter lgemini.Interval?
---@field blocking_confidence string?  Vertex AI only
---@field exclude_domains string[]?  Vertex AI only

---@class lgemini.GoogleSearchRetrieval
---@field dynamic_retrieval_config lgemini.DynamicRetrievalConfig?

---@class lgemini.GroundingChunk
---@field web lgemini.WebChunk?
---@field image lgemini.ImageChunk?
---@field maps lgemini.MapsChunk?
---@field retrieved_context lgemini.RetrievedContext?

---@class lgemini.GroundingMetadata
---@field web_search_queries string[]?
---@field image_search_queries string[]?
---@field search_entry_point lgemini.SearchEntryPoint?
---@field grounding_chunks lgemini.GroundingChunk[]?
---@field grounding_supports lgemini.GroundingSupport[]?
---@field retrieval_metadata lgemini.RetrievalMetadata?
---@field google_maps_widget_context_token string?

---@class lgemini.GroundingSupport
---@field segment lgemini.Segment?
---@field grounding_chunk_indices integer[]?
---@field confidence_scores number[]?
---@field rendered_parts integer[]?

---@class lgemini.Hyperparameters
---@field epoch_count integer?
---@field batch_size integer?
---@field learning_rate_multiplier number?

---@class lgemini.Image

---@class lgemini.ImageChunk
---@field source_uri string?
---@field image_uri string?
---@field title string?
---@field domain string?

---@class lgemini.ImageConfig
---@field aspect_ratio string?
---@field image_size string?
---@field person_generation string?  Vertex AI only
---@field prominent_people string?  Vertex AI only
---@field output_mime_type string?  Vertex AI only
---@field output_compression_quality integer?  Vertex AI only
---@field image_output_options any?  Vertex AI only

---@class lgemini.ImageOutputOptions
---@field output_mime_type string?  mimeType on the wire
---@field output_compression_quality integer?  compressionQuality on the wire

---@class lgemini.ImportFileConfig
---@field custom_metadata lgemini.CustomMetadata[]?
---@field chunking_config lgemini.ChunkingConfig?

---@class lgemini.ImportFileRequest
---@field file_name string?
---@field custom_metadata lgemini.CustomMetadata[]?
---@field chunking_config lgemini.ChunkingConfig?

---@class lgemini.InlinedEmbedContentResponse
---@field response lgemini.SingleEmbedContentResponse?
---@field error lgemini.Status?
---@field metadata table?

---@class lgemini.InlinedEmbedContentResponses
---@field inlined_responses lgemini.InlinedEmbedContentResponse[]?

---@class lgemini.InlinedResponse
---@field response lgemini.GenerateContentResponse?
---@field error lgemini.Status?
---@field metadata table?

---@class lgemini.InlinedResponses
---@field inlined_responses lgemini.InlinedResponse[]?

---@class lgemini.InteractionGenerationConfig
---@field temperature number?
---@field top_p number?
---@field seed integer?
---@field stop_sequences string[]?
---@field max_output_tokens integer?
---@field thinking_level string?
---@field thinking_summaries any?
---@field tool_choice any?
---@field speech_config any?
---@field image_config any?

---@class lgemini.Interval
---@field start_time string?
---@field end_time string?

---@class lgemini.LatLng
---@field latitude number?
---@field longitude number?

---@class lgemini.ListBatchPredictionJobsResponse
---@field batch_prediction_jobs lgemini.BatchPredictionJob[]?
---@field next_page_token string?

---@class lgemini.ListBatchesResponse
---@field operations lgemini.BatchOperation[]?
---@field next_page_token string?

---@class lgemini.ListCachedContentsResponse
---@field cached_contents lgemini.CachedContent[]?
---@field next_page_token string?

---@class lgemini.ListConfig
---@field page_size integer?
---@field page_token string?

---@class lgemini.ListDocumentsResponse
---@field documents lgemini.Document[]?
---@field next_page_token string?

---@class lgemini.ListFileSearchStoresResponse
---@field file_search_stores lgemini.FileSearchStore[]?
---@field next_page_token string?

---@class lgemini.ListFilesResponse
---@field files lgemini.File[]?
---@field next_page_token string?

---@class lgemini.ListModelsConfig
---@field page_size integer?
---@field page_token string?
---@field filter string?
---@field query_base boolean?

---@class lgemini.ListModelsResponse
---@field models lgemini.Model[]?
---@field next_page_token string?

---@class lgemini.ListTunedModelsResponse
---@field tuned_models lgemini.Model[]?
---@field next_page_token string?

---@class lgemini.ListTuningJobsResponse
---@field tuned_models lgemini.TunedModel[]?
---@field next_page_token string?

---@class lgemini.LiveConnectConfig
---@field system_instruction lgemini.Content?
---@field tools lgemini.api.Tool[]?
---@field realtime_input_config any?
---@field session_resumption any?
---@field context_window_compression any?
---@field input_audio_transcription any?
---@field output_audio_transcription any?
---@field proactivity any?
---@field history_config any?
---@field avatar_config any?
---@field safety_settings lgemini.SafetySetting[]?
---@field response_modalities string[]?
---@field temperature number?
---@field top_p number?
---@field top_k number?
---@field max_output_tokens integer?
---@field seed integer?
---@field media_resolution string?
---@field speech_config lgemini.SpeechConfig?
---@field thinking_config lgemini.ThinkingConfig?
---@field enable_affective_dialog boolean?
---@field translation_config any?

---@class lgemini.LiveConnectConstraints
---@field model string?
---@field config lgemini.LiveConnectConfig?

---@class lgemini.LiveGenerationConfig
---@field response_modalities string[]?
---@field temperature number?
---@field top_p number?
---@field top_k number?
---@field max_output_tokens integer?
---@field seed integer?
---@field media_resolution string?
---@field speech_config lgemini.SpeechConfig?
---@field thinking_config lgemini.ThinkingConfig?
---@field enable_affective_dialog boolean?
---@field translation_config any?

---@class lgemini.LiveSetup
---@field model string?
---@field generation_config lgemini.LiveGenerationConfig?
---@field system_instruction lgemini.Content?
---@field tools lgemini.api.Tool[]?
---@field realtime_input_config any?
---@field session_resumption any?
---@field context_window_compression any?
---@field input_audio_transcription any?
---@field output_audio_transcription any?
---@field proactivity any?
---@field history_config any?
---@field avatar_config any?
---@field safety_settings lgemini.SafetySetting[]?

---@class lgemini.LogprobsCandidate
---@field token string?
---@field token_id integer?
---@field log_probability number?

---@class lgemini.LogprobsResult
---@field log_probability_sum number?
---@field top_candidates lgemini.TopLogprobs[]?
---@field chosen_candidates lgemini.LogprobsCandidate[]?

---@class lgemini.MapsChunk
---@field uri string?
---@field title string?
---@field text string?
---@field place_id string?
---@field place_answer_sources lgemini.PlaceAnswerSources?

---@class lgemini.McpServer
---@field name string?
---@field streamable_http_transport lgemini.StreamableHttpTransport?

---@class lgemini.ModalityTokenCount
---@field modality string?
---@field token_count integer?

---@class lgemini.Model
---@field name string?
---@field base_model_id string?
---@field version string?
---@field display_name string?
---@field description string?
---@field input_token_limit integer?
---@field output_token_limit integer?
---@field supported_actions string[]?  supportedGenerationMethods on the wire
---@field temperature number?
---@field max_temperature number?
---@field top_p number?
---@field top_k integer?
---@field thinking boolean?
---@field base_model string?
---@field state string?
---@field create_time string?
---@field update_time string?

---@class lgemini.ModelStatus
---@field model_stage string?
---@field message string?
---@field retirement_time string?

---@class lgemini.MultiSpeakerVoiceConfig
---@field speaker_voice_configs lgemini.SpeakerVoiceConfig[]?

---@class lgemini.Operation

---@class lgemini.OperationResponse
---@field generate_video_response lgemini.GenerateVideosResponse?
---@field videos lgemini.VertexVideo[]?
---@field rai_media_filtered_count integer?
---@field rai_media_filtered_reasons string[]?
---@field parent string?
---@field document_name string?

---@class lgemini.Part
---@field tool_call lgemini.ToolCall?  Gemini API only
---@field tool_response lgemini.ToolResponse?  Gemini API only
---@field video_metadata lgemini.VideoMetadata?
---@field media_resolution lgemini.PartMediaResolution?
---@field part_metadata table?  Gemini API only
---@field audio_transcription lgemini.AudioTranscription?

---@class lgemini.PartMediaResolution
---@field level string?
---@field num_tokens integer?

---@class lgemini.PartialArg
---@field json_path string?
---@field string_value string?
---@field number_value number?
---@field bool_value boolean?
---@field null_value string?
---@field will_continue boolean?

---@class lgemini.PlaceAnswerSources
---@field review_snippets lgemini.ReviewSnippet[]?

---@class lgemini.PrebuiltVoiceConfig
---@field voice_name string?

---@class lgemini.PredictedEmbedding
---@field embeddings lgemini.ContentEmbedding?

---@class lgemini.PredictedEmbeddings
---@field predictions lgemini.PredictedEmbedding[]?

---@class lgemini.PromptFeedback
---@field block_reason string?
---@field block_reason_message string?
---@field safety_ratings lgemini.SafetyRating[]?

---@class lgemini.PublisherModelsResponse
---@field models lgemini.Model[]?  publisherModels on the wire
---@field next_page_token string?

---@class lgemini.RegisterFilesRequest
---@field uris string[]?

---@class lgemini.RegisterFilesResponse
---@field files lgemini.File[]?

---@class lgemini.RetrievalConfig
---@field lat_lng lgemini.LatLng?
---@field language_code string?

---@class lgemini.RetrievalMetadata
---@field google_search_dynamic_retrieval_score number?

---@class lgemini.RetrievedContext
---@field uri string?
---@field title string?
---@field text string?
---@field file_search_store string?
---@field page_number integer?
---@field media_id string?
---@field custom_metadata lgemini.CustomMetadata[]?

---@class lgemini.ReviewSnippet
---@field review_id string?
---@field google_maps_uri string?
---@field title string?

---@class lgemini.SafetyAttributes
---@field categories string[]?
---@field scores number[]?

---@class lgemini.SafetyRating
---@field category string?
---@field probability string?
---@field blocked boolean?
---@field probability_score number?
---@field severity string?
---@field severity_score number?

---@class lgemini.SafetySetting
---@field category string?
---@field threshold string?
---@field method string?  Vertex AI only

---@class lgemini.SavedChat
---@field format string?
---@field model string?
---@field config table?
---@field history any?

---@class lgemini.SavedHistory
---@field history lgemini.SavedTurn[]?

---@class lgemini.SavedTurn
---@field content lgemini.Content?
---@field good boolean?

---@class lgemini.Schema
---@field type string?
---@field format string?
---@field title string?
---@field description string?
---@field nullable boolean?
---@field enum string[]?
---@field items lgemini.Schema?
---@field min_items integer?
---@field max_items integer?
---@field properties table<string, lgemini.Schema>?
---@field required string[]?
---@field min_properties integer?
---@field max_properties integer?
---@field minimum number?
---@field maximum number?
---@field min_length integer?
---@field max_length integer?
---@field pattern string?
---@field example any?
---@field any_of lgemini.Schema[]?
---@field property_ordering string[]?
---@field default any?

---@class lgemini.SearchEntryPoint
---@field rendered_content string?
---@field sdk_blob string?  raw bytes

---@class lgemini.SearchTypes
---@field web_search lgemini.Empty?
---@field image_search lgemini.Empty?

---@class lgemini.Segment
---@field part_index integer?
---@field start_index integer?
---@field end_index integer?
---@field text string?

---@class lgemini.SingleEmbedContentResponse
---@field embedding lgemini.ContentEmbedding?
---@field usage_metadata lgemini.UsageMetadata?

---@class lgemini.SpeakerVoiceConfig
---@field speaker string?
---@field voice_config lgemini.VoiceConfig?

---@class lgemini.SpeechConfig
---@field language_code string?
---@field voice_config lgemini.VoiceConfig?
---@field multi_speaker_voice_config lgemini.MultiSpeakerVoiceConfig?

---@class lgemini.Status
---@field code integer?
---@field message string?
---@field details any?

---@class lgemini.StreamableHttpTransport
---@field url string?
---@field headers table?
---@field timeout string?
---@field sse_read_timeout string?
---@field terminate_on_close boolean?

---@class lgemini.StringList
---@field values string[]?

---@class lgemini.ThinkingConfig
---@field include_thoughts boolean?
---@field thinking_budget integer?
---@field thinking_level string?

---@class lgemini.api.Tool
---@field function_declarations lgemini.FunctionDeclaration[]?
---@field google_search lgemini.GoogleSearch?
---@field google_search_retrieval lgemini.GoogleSearchRetrieval?
---@field code_execution lgemini.Empty?
---@field url_context lgemini.Empty?
---@field file_search lgemini.FileSearch?  Gemini API only
---@field computer_use lgemini.ComputerUse?
---@field google_maps lgemini.GoogleMaps?
---@field mcp_servers lgemini.McpServer[]?  Gemini API only
---@field retrieval any?  Vertex AI only
---@field enterprise_web_search any?  Vertex AI only
---@field exa_ai_search any?  Vertex AI only
---@field parallel_ai_search any?  Vertex AI only

---@class lgemini.ToolCall
---@field id string?
---@field tool_type string?
---@field args table?

---@class lgemini.ToolConfig
---@field function_calling_config lgemini.FunctionCallingConfig?
---@field retrieval_config lgemini.RetrievalConfig?
---@field include_server_side_tool_invocations boolean?  Gemini API only

---@class lgemini.ToolResponse
---@field id string?
---@field tool_type string?
---@field response table?

---@class lgemini.TopLogprobs
---@field candidates lgemini.LogprobsCandidate[]?

---@class lgemini.TranscribedWord
---@field word string?
---@field start_offset string?
---@field end_offset string?

---@class lgemini.TuneConfig
---@field tuned_model_display_name string?
---@field epoch_count integer?
---@field batch_size integer?
---@field learning_rate_multiplier number?

---@class lgemini.TuneMetadata
---@field tuned_model string?
---@field total_steps integer?
---@field completed_steps integer?
---@field completed_percent number?

---@class lgemini.TuneOperation
---@field name string?
---@field metadata lgemini.TuneMetadata?
---@field done boolean?
---@field error lgemini.Status?

---@class lgemini.TuneRequest
---@field display_name string?
---@field base_model string?
---@field tuning_task lgemini.TuningTask?

---@class lgemini.TunedModel
---@field name string?
---@field display_name string?
---@field description string?
---@field base_model string?
---@field state string?
---@field create_time string?
---@field update_time string?
---@field tuning_task any?

---@class lgemini.TuningData
---@field examples lgemini.TuningExamples?

---@class lgemini.TuningExample
---@field text_input string?
---@field output string?

---@class lgemini.TuningExamples
---@field examples lgemini.TuningExample[]?

---@class lgemini.TuningTask
---@field hyperparameters lgemini.Hyperparameters?
---@field training_data lgemini.TuningData?

---@class lgemini.UpdateCachedContentConfig
---@field ttl string?
---@field expire_time string?

---@class lgemini.UpdateModelConfig
---@field display_name string?
---@field description string?

---@class lgemini.UploadFileConfig
---@field name string?
---@field display_name string?
---@field mime_type string?

---@class lgemini.UploadToFileSearchStoreConfig
---@field display_name string?
---@field mime_type string?
---@field custom_metadata lgemini.CustomMetadata[]?
---@field chunking_config lgemini.ChunkingConfig?

---@class lgemini.UrlContextMetadata
---@field url_metadata lgemini.UrlMetadata[]?

---@class lgemini.UrlMetadata
---@field retrieved_url string?
---@field url_retrieval_status string?

---@class lgemini.UsageMetadata
---@field cached_content_token_count integer?
---@field tool_use_prompt_token_count integer?
---@field prompt_tokens_details lgemini.ModalityTokenCount[]?
---@field candidates_tokens_details lgemini.ModalityTokenCount[]?
---@field cache_tokens_details lgemini.ModalityTokenCount[]?
---@field tool_use_prompt_tokens_details lgemini.ModalityTokenCount[]?
---@field service_tier string?
---@field traffic_type string?

---@class lgemini.VertexVideo
---@field uri string?  gcsUri on the wire
---@field video_bytes string?  raw bytes; bytesBase64Encoded on the wire
---@field mime_type string?

---@class lgemini.Video

---@class lgemini.VideoGenerationMask
---@field image lgemini.Image?
---@field mask_mode string?

---@class lgemini.VideoMetadata
---@field start_offset string?
---@field end_offset string?
---@field fps number?

---@class lgemini.VideoReferenceImage
---@field image lgemini.Image?
---@field reference_type string?

---@class lgemini.VoiceConfig
---@field prebuilt_voice_config lgemini.PrebuiltVoiceConfig?

---@class lgemini.WebChunk
---@field uri string?
---@field title string?
---@field domain string?

---@class lgemini.WebhookConfig
---@field uris string[]?
---@field user_metadata table?

---@class lgemini.WhiteSpaceConfig
---@field max_tokens_per_chunk integer?
---@field max_overlap_tokens integer?
